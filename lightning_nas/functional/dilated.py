"""A depthwise convolution of dilation 2 whose backward pass is that of a plain one, on the images of each parity.

Shapes: B batch, C channels, H and W height and width, both even, K kernel size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas.functional.convolution import depthwise, depthwise_gradients
from lightning_nas.functional.parity import every_second, from_parities, parities


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
