"""Batch norm with the statistics of the batch.

Shapes: B batch, D channels, h and w height and width.
"""

from __future__ import annotations

import torch
from torch import Tensor


def normalize(x_BDhw: Tensor, weight_D: Tensor | None, bias_D: Tensor | None, eps: float) -> tuple[Tensor, ...]:
    """Batch norm: its output, the batch's mean (D,) and one over the root of its variance (D,).

    Args:
        x_BDhw: at least two values a channel.
        weight_D: scale, or None.
        bias_D: shift, or None; there may be a scale without it.
        eps: added to the variance.

    Raises:
        ValueError: one value a channel, which has no variance.

    Example:
        >>> output, mean, _ = normalize(torch.tensor([1.0, 3.0]).view(2, 1, 1, 1), None, None, 1e-5)
        >>> output.flatten().round().tolist(), mean.tolist()
        ([-1.0, 1.0], [2.0])
    """
    if x_BDhw.numel() == x_BDhw.shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {x_BDhw.shape}")
    if weight_D is None and x_BDhw.dtype in (torch.float16, torch.bfloat16):
        weight_D = torch.ones(x_BDhw.shape[1], device=x_BDhw.device)  # float32, so that the statistics are too
    found: tuple[Tensor, ...] = torch.native_batch_norm(x_BDhw, weight_D, bias_D, None, None, True, 0.0, eps)
    return found
