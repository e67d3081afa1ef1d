"""The images of even and odd rows and columns, on which a convolution of dilation 2 is a plain one.

Kernels for dilated depthwise convolutions are slow on CPUs. With an even padding a tap never leaves the parity of its
output; with stride 2 besides, only even rows and columns are read.

Shapes: B batch, C channels, H and W height and width, both even.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def parities(x_BCHW: Tensor) -> Tensor:
    """The four images of each parity, (4 B, C, H/2, W/2) in channels_last."""
    batch, channels, height, width = x_BCHW.shape
    # Channels go last before the split, so that the gradient is put together in channels_last too.
    parts = x_BCHW.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels).permute(2, 4, 0, 1, 3, 5)
    return parts.contiguous().view(4 * batch, height // 2, width // 2, channels).permute(0, 3, 1, 2)


def from_parities(x: Tensor, onto: Tensor | None = None) -> Tensor:
    """The images that `parities` took apart, put together again, in channels_last.

    Args:
        x: the images of each parity.
        onto: images that they are added to; it is written over.

    Example:
        >>> import torch
        >>> x = torch.rand(2, 3, 4, 6)
        >>> torch.equal(from_parities(parities(x)), x), torch.equal(from_parities(parities(x), x.clone()), 2 * x)
        (True, True)
    """
    if onto is not None:
        total: Tensor = _AddParities.apply(onto, x)
        return total
    images, channels, height, width = x.shape
    parts = x.permute(0, 2, 3, 1).reshape(2, 2, images // 4, height, width, channels).permute(2, 3, 0, 4, 1, 5)
    return parts.contiguous().view(images // 4, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


class _AddParities(torch.autograd.Function):
    """Adds through a view: autograd itself would copy the total for an operation in place on a view of it."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, x: Tensor) -> Tensor:
        images, channels, height, width = x.shape
        split = (images // 4, height, 2, width, 2, channels)
        places = total.permute(0, 2, 3, 1).view(split).permute(2, 4, 0, 1, 3, 5)
        places.add_(x.permute(0, 2, 3, 1).view(2, 2, images // 4, height, width, channels))
        ctx.mark_dirty(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        return gradients[0], parities(gradients[0])


def every_second(x_BCHW: Tensor, first: int = 0) -> Tensor:
    """Every second row and column from `first` on, (B, C, h, w).

    The gradient keeps the layout of the images; that of a plain slice is always channels first, and slow to add up.
    """
    if x_BCHW.is_contiguous(memory_format=torch.channels_last):
        return x_BCHW.permute(0, 2, 3, 1)[:, first::2, first::2].permute(0, 3, 1, 2)
    return x_BCHW[:, :, first::2, first::2]


def diagonal_parities(x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The images of even rows and columns, and of odd rows and columns, (B, C, H/2, W/2) each.

    Their gradients are put together at once, in the layout of the images.

    Example:
        >>> [image.flatten().tolist() for image in diagonal_parities(torch.arange(4.0).view(1, 1, 2, 2))]
        [[0.0], [3.0]]
    """
    batch, channels, height, width = x_BCHW.shape
    split = x_BCHW.permute(0, 2, 3, 1).reshape(batch, height // 2, 2, width // 2, 2, channels)
    even, odd = split.diagonal(dim1=2, dim2=4).unbind(-1)
    return even.permute(0, 3, 1, 2), odd.permute(0, 3, 1, 2)
