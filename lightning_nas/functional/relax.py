"""Relaxed choices: hard Gumbel samples, entropy, and how likely a candidate is extracted."""

from __future__ import annotations

import torch
from torch import Tensor


def gumbel_noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard Gumbel numbers on the CPU, float32, finite.

    The smallest positive number stands in for an exponential number that is 0, where the authors of GDAS draw again.

    Args:
        shape: (E, O).
        generator: a CPU generator.
    """
    exponential = torch.empty(shape).exponential_(generator=generator)
    return -exponential.clamp_min(torch.finfo(torch.float32).tiny).log()


def hard_gumbel_softmax(alpha_EO: Tensor, noise_EO: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """A one-hot sample with the gradient of the soft one (straight through).

    Source: Dong & Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019, equation 3: softmax
    of (log-probability + noise) / temperature.

    Args:
        alpha_EO: architecture parameters, floating.
        noise_EO: standard Gumbel numbers.
        temperature: positive; small is close to the categorical distribution.

    Returns:
        Values (E, O), exactly 0 and 1, carrying gradient, and the index (E,) of the candidate that is 1.

    Example:
        >>> values, index = hard_gumbel_softmax(torch.zeros(1, 3), torch.tensor([[0.0, 2.0, 1.0]]), 0.1)
        >>> values.tolist(), index.tolist()
        ([[0.0, 1.0, 0.0]], [1])
    """
    soft_EO = ((alpha_EO.log_softmax(-1) + noise_EO) / temperature).softmax(-1)
    index_E = soft_EO.argmax(-1)
    hard_EO = torch.zeros_like(soft_EO).scatter_(-1, index_E.unsqueeze(-1), 1.0)
    return hard_EO + (soft_EO - soft_EO.detach()), index_E


def entropy(probabilities_EO: Tensor) -> Tensor:
    """Mean entropy of the edges in nats, a scalar.

    Example:
        >>> entropy(torch.tensor([[0.5, 0.5], [1.0, 0.0]])).item()  # doctest: +ELLIPSIS
        0.3465...
    """
    return torch.special.entr(probabilities_EO).sum(-1).mean()


def shares(strength_K: Tensor) -> Tensor:
    """How likely each is kept (K,), where one is drawn in proportion to its strength.

    Example:
        >>> shares(torch.tensor([1.0, 3.0])).tolist()
        [0.25, 0.75]
    """
    return strength_K / strength_K.sum().clamp_min(torch.finfo(strength_K.dtype).tiny)


def pair_shares(strength_K: Tensor) -> Tensor:
    """How likely each is kept (K,), where two are drawn one after the other, without replacement.

    The sum is 2 (1 if there is one alone); equal strengths give 2 / K each; two give 1 each, whatever their strengths.

    Example:
        >>> pair_shares(torch.ones(4)).tolist()
        [0.5, 0.5, 0.5, 0.5]
        >>> pair_shares(torch.tensor([0.9, 0.1, 0.0])).tolist()
        [1.0, 1.0, 0.0]
    """
    first_K = shares(strength_K)
    # Before each as the second one, another was drawn; what is left then is all the others' weight. It is summed, not
    # taken from 1, which would leave nothing but rounding where one has nearly all the weight.
    same_KK = torch.eye(len(strength_K), dtype=strength_K.dtype, device=strength_K.device)
    others_KK = strength_K.expand(len(strength_K), -1) * (1.0 - same_KK)
    left_K = others_KK.sum(-1).clamp_min(torch.finfo(strength_K.dtype).tiny)
    second_KK = (first_K / left_K).unsqueeze(-1) * others_KK
    return first_K + second_KK.sum(0)


def without(probabilities_EO: Tensor, excluded: list[int], given: bool = True) -> Tensor:
    """The probabilities (E, O) with zeros for some candidates, and zeros stay zeros.

    Args:
        probabilities_EO: rows add up to 1 or less.
        excluded: columns.
        given: those of the others given that none of the excluded is chosen: rows add up to 1 again.

    Example:
        >>> without(torch.tensor([[0.5, 0.25, 0.25]]), [0]).tolist()
        [[0.0, 0.5, 0.5]]
    """
    rest_EO = probabilities_EO.clone()
    for column in excluded:  # not all at once: indices in a list are copied to the device, which waits for it
        rest_EO[:, column] = 0.0
    return rest_EO / rest_EO.sum(-1, keepdim=True).clamp_min(torch.finfo(rest_EO.dtype).tiny) if given else rest_EO
