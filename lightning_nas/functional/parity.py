"""Images split by the parity of rows and columns, and dilated convolutions as plain ones on these."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas.functional.convolution import depthwise, depthwise_gradients


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


def dilated(x_BCHW: Tensor, weight_C1KK: Tensor, stride: int = 1) -> Tensor:
    """A depthwise convolution of dilation 2 without bias, padded by K - 1; square kernels of odd size.

    On a CPU its gradients are those of plain convolutions: oneDNN takes ten times as long for dilated ones.

    Example:
        >>> dilated(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 3, 3))[0, 0, 0].tolist()
        [4.0, 4.0, 4.0, 4.0]
    """
    kernel, channels = weight_C1KK.shape[-1], weight_C1KK.shape[0]
    even = x_BCHW.device.type == "cpu" and x_BCHW.shape[2] % 2 == 0 and x_BCHW.shape[3] % 2 == 0
    # With stride 2 and the even padding, all taps lie on even rows and columns.
    if even and stride == 2:
        return depthwise(every_second(x_BCHW), weight_C1KK, padding=kernel // 2)
    if even and torch.is_grad_enabled():
        output: Tensor = _Dilated.apply(x_BCHW, weight_C1KK)
        return output
    return F.conv2d(x_BCHW, weight_C1KK, None, stride, kernel - 1, 2, groups=channels)


class _Dilated(torch.autograd.Function):
    """Forward the dilated convolution itself, which is fast; backward the parities."""

    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_C1KK: Tensor) -> Tensor:
        ctx.save_for_backward(x_BCHW, weight_C1KK)
        return F.conv2d(x_BCHW, weight_C1KK, None, 1, weight_C1KK.shape[-1] - 1, 2, groups=weight_C1KK.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        wanted = ctx.needs_input_grad
        of_x, of_weight = depthwise_gradients(parities(gradients[0]), parities(x), weight, wanted[0], wanted[1])
        return None if of_x is None else from_parities(of_x), of_weight
