"""Relaxations of a categorical choice, as pure functions.

Shapes: E edges, O candidates of an edge.
"""

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
