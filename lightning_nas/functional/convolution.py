"""Convolutions of many edges at once, in channels_last, and the backward passes that CPU libraries are slow at.

Shapes: B batch, E edges, C channels of an edge, D = E * C, H and W height and width, K kernel size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_convolution_backward = torch.ops.aten.convolution_backward.default
_FAST_GROUP = 16
"""Channels of a group below which oneDNN has no kernel for the gradient of a grouped convolution's input."""
_TALL = 8
"""Height of an image from which on oneDNN's fast kernel takes the padding of a tall kernel."""


def repeat_channels(x_BCHW: Tensor, edges: int) -> Tensor:
    """The channels once for each edge, (B, D, H, W) in channels_last.

    Example:
        >>> repeat_channels(torch.arange(2.0).view(1, 2, 1, 1), 3).flatten().tolist()
        [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]
    """
    if edges == 1:
        return x_BCHW
    batch, channels, height, width = x_BCHW.shape
    pixels = x_BCHW.permute(0, 2, 3, 1).reshape(-1, 1, channels)
    repeated = pixels.expand(-1, edges, -1).contiguous()
    return repeated.view(batch, height, width, edges * channels).permute(0, 3, 1, 2)


def depthwise(x_BDHW: Tensor, weight_D1KK: Tensor, stride: int = 1, padding: int = 0, dilation: int = 1) -> Tensor:
    """A depthwise convolution without bias; square kernels of odd size."""
    kernel = weight_D1KK.shape[-1]
    padded = stride == dilation == 1 and padding == kernel // 2
    wide = padded and kernel > 3 and x_BDHW.shape[-1] >= padding
    if wide and x_BDHW.device.type == "cpu" and weight_D1KK.requires_grad and torch.is_grad_enabled():
        output: Tensor = _WideDepthwise.apply(x_BDHW, weight_D1KK)
        return output
    return F.conv2d(x_BDHW, weight_D1KK, None, stride, padding, dilation, groups=weight_D1KK.shape[0])


def pointwise(x_BDHW: Tensor, weight_DC11: Tensor) -> Tensor:
    """A 1x1 convolution without bias, each edge from its own channels to its own."""
    groups = x_BDHW.shape[1] // weight_DC11.shape[1]
    if groups > 1 and x_BDHW.device.type == "cpu" and weight_DC11.shape[1] < _FAST_GROUP:
        output: Tensor = _NarrowPointwise.apply(x_BDHW, weight_DC11)
        return output
    return F.conv2d(x_BDHW, weight_DC11, groups=groups)


def _gradient(which: str, gradient: Tensor, x: Tensor, weight: Tensor, groups: int, padding: Sequence[int]) -> Tensor:
    """The gradient of a convolution of stride 1 with respect to its "x" or its "weight"."""
    mask = [which == "x", which == "weight", False]
    arguments = (gradient, x, weight, None, [1, 1], list(padding), [1, 1], False, [0, 0], groups, mask)
    found: Tensor = _convolution_backward(*arguments)[mask.index(True)]
    return found


class _WideDepthwise(torch.autograd.Function):
    """A depthwise convolution with kernels wider than 3, for which oneDNN has no fast gradient of the weights."""

    @staticmethod
    def forward(ctx: Any, x_BDHW: Tensor, weight_D1KK: Tensor) -> Tensor:
        ctx.save_for_backward(x_BDHW, weight_D1KK)
        return F.conv2d(x_BDHW, weight_D1KK, None, 1, weight_D1KK.shape[-1] // 2, groups=weight_D1KK.shape[0])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return depthwise_gradients(gradients[0], *ctx.saved_tensors, *ctx.needs_input_grad)


def depthwise_gradients(
    gradient_BDHW: Tensor, x_BDHW: Tensor, weight_D1KK: Tensor, of_x: bool, of_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    """The gradients of `depthwise` of stride 1 that keeps the size, with respect to its input and its weights.

    Args:
        gradient_BDHW: of the output.
        x_BDHW: the input.
        weight_D1KK: the weights.
        of_x, of_weight: which are wanted; the others are None.
    """
    groups, kernel = weight_D1KK.shape[0], weight_D1KK.shape[-1]
    wide = kernel > 3 and x_BDHW.device.type == "cpu" and x_BDHW.shape[-1] >= kernel // 2
    if of_x and of_weight and not wide:
        mask, padding = [True, True, False], [kernel // 2] * 2
        arguments = (gradient_BDHW, x_BDHW, weight_D1KK, None, [1, 1], padding, [1, 1], False, [0, 0], groups, mask)
        both: tuple[Tensor, Tensor, Tensor] = _convolution_backward(*arguments)
        return both[:2]
    padding = [kernel // 2] * 2
    found_x = _gradient("x", gradient_BDHW, x_BDHW, weight_D1KK, groups, padding) if of_x else None
    if not of_weight:
        return found_x, None
    if wide:
        return found_x, _by_columns(gradient_BDHW, x_BDHW, weight_D1KK)
    return found_x, _gradient("weight", gradient_BDHW, x_BDHW, weight_D1KK, groups, padding)


def _by_columns(gradient_BDHW: Tensor, x_BDHW: Tensor, weight_D1KK: Tensor) -> Tensor:
    """The weights' gradient, at most three columns of the kernel at a time where the kernel is 5 or 7 wide.

    With the gradient moved by kernel // 2 - 1 pixels the outer columns at one side come under a kernel of three
    columns. What the innermost of them misses lies in the pixels that were moved out of the image.
    """
    kernel = weight_D1KK.shape[-1]
    half = rows = kernel // 2
    if x_BDHW.shape[2] < _TALL:
        x_BDHW, rows = F.pad(x_BDHW, (0, 0, half, half)), 0

    def columns(count: int, gradient: Tensor, x: Tensor) -> Tensor:
        shape = weight_D1KK[..., :count]
        return _gradient("weight", gradient, x, shape, shape.shape[0], [rows, count // 2])

    left = columns(3, F.pad(gradient_BDHW, (1 - half, half - 1)), x_BDHW)
    right = columns(3, F.pad(gradient_BDHW, (half - 1, 1 - half)), x_BDHW)
    if kernel == 5:
        middle = left[..., 2:] + columns(1, *(_first_column(image) for image in (gradient_BDHW, x_BDHW)))
    else:
        middle = columns(kernel - 4, gradient_BDHW, x_BDHW)
    return torch.cat([left[..., :2], middle, right[..., 1:]], dim=-1)


def _first_column(x_BDHW: Tensor) -> Tensor:
    return x_BDHW[..., :1].contiguous(memory_format=torch.channels_last)


class _NarrowPointwise(torch.autograd.Function):
    """The input's gradient as the forward pass of the transposed weights."""

    @staticmethod
    def forward(ctx: Any, x_BDHW: Tensor, weight_DC11: Tensor) -> Tensor:
        ctx.save_for_backward(x_BDHW, weight_DC11)
        return F.conv2d(x_BDHW, weight_DC11, groups=x_BDHW.shape[1] // weight_DC11.shape[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (gradient,) = gradients
        x, weight = ctx.saved_tensors
        channels = weight.shape[1]
        groups = x.shape[1] // channels
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            transposed = weight.view(groups, -1, channels).transpose(1, 2).reshape(x.shape[1], -1, 1, 1)
            of_x = F.conv2d(gradient, transposed, groups=groups)
        if ctx.needs_input_grad[1]:
            of_weight = _gradient("weight", gradient, x, weight, groups, [0, 0])
        return of_x, of_weight
