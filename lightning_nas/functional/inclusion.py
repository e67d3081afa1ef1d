"""How likely the edges of a node are kept, where a space keeps the strongest; differentiable.

Shapes: K edges among which some are kept.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
