"""Log-probabilities, entropies and losses of policies over decisions.

Suffixes of names give the shape: B genotypes, O options of a decision, L earlier layers that anchors may name, N either
of these two. Logits are floating, indices int64, bits bool.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas.runtime.memory import moved


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


def shaped(logits_BN: Tensor, temperature: float | None = None, tanh_constant: float | None = None) -> Tensor:
    """Logits over the temperature, then kept within +-tanh_constant by tanh; None leaves a step out.

    Source: Bello et al., "Neural Combinatorial Optimization with Reinforcement Learning", 2017, as in ENAS (Pham et al.
    2018).

    Example:
        >>> shaped(torch.tensor([[0.0, 100.0]]), temperature=5.0, tanh_constant=1.5)
        tensor([[0.0000, 1.5000]])
    """
    if temperature is not None:
        logits_BN = logits_BN / temperature
    return logits_BN if tanh_constant is None else tanh_constant * torch.tanh(logits_BN)


def skip_divergence(logits_BL: Tensor, target: float) -> Tensor:
    """KL divergence (B,) of independent bits from bits that are set with probability `target`, in nats.

    Source: Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018: with p the probability
    of a bit, the sum over the bits of p log(p / target) + (1 - p) log((1 - p) / (1 - target)).

    Example:
        >>> even, rare = skip_divergence(torch.tensor([[0.0, 0.0], [-2.0, -2.0]]), target=0.5)
        >>> even.item(), round(rare.item(), 3)
        (0.0, 0.656)
    """
    on_BL, off_BL = F.logsigmoid(logits_BL), F.logsigmoid(-logits_BL)
    on_term_BL = on_BL.exp() * (on_BL - math.log(target))
    return (on_term_BL + off_BL.exp() * (off_BL - math.log(1.0 - target))).sum(-1)


def draw_option(logits_BO: Tensor, generator: torch.Generator) -> Tensor:
    """Options (B,) int64 drawn from softmax(logits), on the device of the logits, in float64.

    The noise comes from a CPU generator, so every device draws the same, and nothing is copied to the host. These are
    the numbers of `torch.multinomial` on the CPU: the smallest of exponential times at the rates of the probabilities.
    """
    times_BO = torch.empty(logits_BO.shape, dtype=torch.float64).exponential_(generator=generator)
    probabilities_BO = logits_BO.detach().double().softmax(-1)
    return (probabilities_BO / moved(times_BO, logits_BO.device)).argmax(-1)


def draw_bits(logits_BL: Tensor, generator: torch.Generator) -> Tensor:
    """Bits (B, L) bool drawn with the probabilities sigmoid(logits), as `draw_option` draws."""
    uniform_BL = torch.rand(logits_BL.shape, generator=generator, dtype=torch.float64)
    return moved(uniform_BL, logits_BL.device) < logits_BL.detach().double().sigmoid()


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
