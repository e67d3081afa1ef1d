"""Batch norm with the statistics of the batch, alone and in a chain that keeps less for its backward pass.

Shapes: B batch, D channels, h and w height and width, K kernel size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas.functional.convolution import depthwise, depthwise_gradients


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


def norm_relu_depthwise(
    x_BDhw: Tensor, weight_D: Tensor | None, bias_D: Tensor | None, eps: float, kernels_D1KK: Tensor
) -> tuple[Tensor, ...]:
    """`normalize`, ReLU, and a depthwise convolution of stride 1 that keeps the size; the same three results.

    The backward pass computes what lies in between once more.
    """
    if x_BDhw.numel() == x_BDhw.shape[1]:
        return normalize(x_BDhw, weight_D, bias_D, eps)
    found: tuple[Tensor, ...] = _NormReluDepthwise.apply(x_BDhw, weight_D, bias_D, eps, kernels_D1KK)
    return found


class _NormReluDepthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, kernels: Tensor) -> Any:
        hidden, mean, invstd = normalize(x, weight, bias, eps)
        output = depthwise(hidden.relu_(), kernels, padding=kernels.shape[-1] // 2)
        ctx.eps = eps
        ctx.save_for_backward(x, weight, bias, kernels, mean, invstd)
        ctx.mark_non_differentiable(mean, invstd)
        ctx.set_materialize_grads(False)
        return output, mean, invstd

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():
            return _differentiable_gradients(ctx, gradients[0])
        x, weight, bias, kernels, mean, invstd = ctx.saved_tensors
        of_x, of_weight, of_bias, of_kernels = ctx.needs_input_grad[0:3] + ctx.needs_input_grad[4:]
        variance = invstd.pow(-2).sub_(ctx.eps)
        hidden = F.batch_norm(x, mean, variance, weight, bias, eps=ctx.eps).relu_()
        of_hidden, found_kernels = depthwise_gradients(gradients[0], hidden, kernels, True, of_kernels)
        of_hidden = torch.ops.aten.threshold_backward(of_hidden, hidden, 0)
        found = torch.ops.aten.native_batch_norm_backward(
            of_hidden, x, weight, None, None, mean, invstd, True, ctx.eps, [of_x, of_weight, of_bias]
        )
        found = [
            gradient if needed else None for gradient, needed in zip(found, (of_x, of_weight, of_bias), strict=True)
        ]
        return *found, None, found_kernels


def _differentiable_gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients of the chain as a graph, for a second derivative."""
    x, weight, bias, kernels = ctx.saved_tensors[:4]
    hidden = F.relu(normalize(x, weight, bias, ctx.eps)[0])
    output = depthwise(hidden, kernels, padding=kernels.shape[-1] // 2)
    inputs = (x, weight, bias, None, kernels)
    wanted = [tensor for tensor, needed in zip(inputs, ctx.needs_input_grad, strict=True) if needed]
    found = iter(torch.autograd.grad(output, wanted, gradient, create_graph=True))
    return tuple(next(found) if needed else None for needed in ctx.needs_input_grad)
