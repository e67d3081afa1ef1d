"""Smaller images from large ones."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def shrink(images: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) whose shorter side is brought down to `size` pixels, bilinear with antialiasing.

    The sides keep their ratio; images of that size already are returned as they are.

    Args:
        images: floating.
        size: pixels of the shorter side, at most what it has.

    Raises:
        ValueError: no images, or smaller than `size`.

    Example:
        >>> shrink(torch.rand(2, 3, 8, 12), 4).shape
        torch.Size([2, 3, 4, 6])
    """
    if images.dim() != 4:
        raise ValueError(f"inputs of shape {tuple(images.shape)} are no images (B, C, H, W), so they have no size.")
    height, width = images.shape[2:]
    side = min(height, width)
    if size > side:
        raise ValueError(f"size={size} is more than the {height}x{width} pixels of the images: give at most {side}.")
    if size == side:
        return images
    shape = (round(height * size / side), round(width * size / side))
    # in half precision the kernel is missing on some devices, and its weights would be coarse
    wide = images if images.dtype in (torch.float32, torch.float64) else images.float()
    return F.interpolate(wide, shape, mode="bilinear", antialias=True).to(images.dtype)
