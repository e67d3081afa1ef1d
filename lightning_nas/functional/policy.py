"""Log-probabilities, entropies and losses of policies over decisions.

Suffixes of names give the shape: B genotypes, O options of a decision, L earlier layers that anchors may name. Logits
are floating, indices int64, bits bool.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def categorical(logits_BO: Tensor, index_B: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability (B,) of the options at `index_B`, and entropy (B,), in nats.

    Example:
        >>> log_prob, entropy = categorical(torch.zeros(1, 4), torch.tensor([2]))
        >>> round(log_prob.exp().item(), 4), round(entropy.exp().item(), 4)
        (0.25, 4.0)
    """
    log_BO = F.log_softmax(logits_BO, -1)
    return log_BO.gather(1, index_B[:, None])[:, 0], -(log_BO.exp() * log_BO).sum(-1)


def bernoulli(logits_BL: Tensor, bits_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probability (B,) of strings of independent bits, and entropy (B,), in nats.

    Example:
        >>> log_prob, entropy = bernoulli(torch.zeros(1, 3), torch.tensor([[True, False, True]]))
        >>> round(log_prob.exp().item(), 4), round(entropy.exp().item(), 4)
        (0.125, 8.0)
    """
    on_BL, off_BL = F.logsigmoid(logits_BL), F.logsigmoid(-logits_BL)
    entropy_B = -(on_BL.exp() * on_BL + off_BL.exp() * off_BL).sum(-1)
    return torch.where(bits_BL, on_BL, off_BL).sum(-1), entropy_B


def draw_option(logits_O: Tensor, generator: torch.Generator) -> int:
    """An option drawn from softmax(logits), on the CPU in float64."""
    return int(torch.multinomial(logits_O.detach().cpu().double().softmax(-1), 1, generator=generator))


def draw_bits(logits_L: Tensor, generator: torch.Generator) -> tuple[bool, ...]:
    """Bits drawn with the probabilities sigmoid(logits), on the CPU in float64."""
    probabilities = logits_L.detach().cpu().double().sigmoid()
    return tuple((torch.rand(len(probabilities), generator=generator, dtype=torch.float64) < probabilities).tolist())


def reinforce_loss(log_prob_B: Tensor, advantage_B: Tensor) -> Tensor:
    """Minus the policy gradient's objective: mean of -log p times the advantage (Williams 1992)."""
    return -(log_prob_B * advantage_B).mean()


def ppo_loss(log_prob_B: Tensor, old_log_prob_B: Tensor, advantage_B: Tensor, clip: float) -> Tensor:
    """The clipped surrogate of Schulman et al., "Proximal Policy Optimization Algorithms", 2017.

    Example:
        >>> better = torch.log(torch.tensor([0.9]))
        >>> ppo_loss(better, torch.log(torch.tensor([0.3])), torch.tensor([1.0]), clip=0.2)  # the ratio 3 counts as 1.2
        tensor(-1.2000)
    """
    ratio_B = (log_prob_B - old_log_prob_B).exp()
    clipped_B = ratio_B.clamp(1.0 - clip, 1.0 + clip)
    return -torch.minimum(ratio_B * advantage_B, clipped_B * advantage_B).mean()
