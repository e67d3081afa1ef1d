"""Batch normalisation with its statistics: those of one process, and those of all."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn import functional as F


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


_LOW = (torch.float16, torch.bfloat16)


def normalize_together(
    x_BDhw: Tensor, weight_D: Tensor | None, bias_D: Tensor | None, eps: float
) -> tuple[Tensor, ...]:
    """`normalize` over the batches of all processes; a fourth result is how many values a channel has in all of them.

    A process may have another number of images than the others, and a single value a channel. Every process sends one
    message forward and, where the gradient of the input is wanted, one backward, so all have to run the same norms in
    the same order. The gradient of an input is that of the sum of all processes' losses; those of scale and shift are
    this process's part of theirs, which are averaged like the gradients of other weights.

    Args:
        x_BDhw: the images of this process.
        weight_D: scale, or None.
        bias_D: shift, or None; there may be a scale without it.
        eps: added to the variance.
    """
    if weight_D is None and x_BDhw.dtype in _LOW:
        weight_D = torch.ones(x_BDhw.shape[1], device=x_BDhw.device)  # float32, so that the gradient's sums are too
    found: tuple[Tensor, ...] = _NormalizeTogether.apply(x_BDhw, weight_D, bias_D, eps)
    return found


class _NormalizeTogether(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Any:
        mean, variance, count = _statistics(x)
        invstd = (variance + eps).rsqrt()
        ctx.eps = eps
        ctx.save_for_backward(x, weight, bias, mean, invstd, count)
        ctx.mark_non_differentiable(mean, invstd, count)
        ctx.set_materialize_grads(False)
        return F.batch_norm(x, mean, variance, weight, bias, eps=eps), mean, invstd, count

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> Any:
        gradient = gradients[0]
        if gradient is None:
            return None, None, None, None
        if torch.is_grad_enabled():
            return _differentiable_gradients(ctx, gradient)
        x, weight, _, mean, invstd, count = ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad[:3]
        _, scaled, plain = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, None, None, mean, invstd, True, ctx.eps, [False, True, True]
        )
        found = None
        if of_x:
            sums = torch.stack([scaled, plain])
            distributed.all_reduce(sums)
            scaled_mean, plain_mean = (sums / count).unbind()
            scale = invstd if weight is None else invstd * weight
            by_x = -scale * invstd * scaled_mean
            constant = -scale * plain_mean - by_x * mean
            found = torch.addcmul(_wide(constant), gradient, _wide(scale)).addcmul_(x, _wide(by_x)).to(x.dtype)
        return found, scaled if of_weight else None, plain if of_bias else None, None


def _statistics(x_BDhw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance over all processes, (D,) each, and the number of values a channel, (1,)."""
    if x_BDhw.dtype in _LOW and x_BDhw.device.type == "cpu":
        x_BDhw = x_BDhw.float()  # a GPU counts in float32 anyway
    channels = x_BDhw.shape[1]
    mean, variance = torch.batch_norm_update_stats(x_BDhw, None, None, 0.0)
    own = torch.cat([mean, variance, mean.new_full((1,), x_BDhw.numel() // channels)])
    everyone = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
    distributed.all_gather(everyone, own)
    # Not by sums of squares, which lose the digits of a small variance beside a large mean (Chan et al. 1979).
    all_RN = torch.stack(everyone)
    means_RD, variances_RD, counts_R1 = all_RN[:, :channels], all_RN[:, channels:-1], all_RN[:, -1:]
    count = counts_R1.sum(0)
    share_R1 = counts_R1 / count
    mean = (share_R1 * means_RD).sum(0)
    return mean, (share_R1 * (variances_RD + (means_RD - mean).square())).sum(0), count


def _differentiable_gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    """The gradients as a graph, for a second derivative."""
    x, weight, bias, _, _, count = ctx.saved_tensors
    centred = x - _wide(_SumOverProcesses.apply(x.sum((0, 2, 3))) / count)
    variance = _SumOverProcesses.apply(centred.square().sum((0, 2, 3))) / count
    output = centred * _wide((variance + ctx.eps).rsqrt())
    if weight is not None:
        output = output * _wide(weight)
    if bias is not None:
        output = output + _wide(bias)
    wanted = [tensor for tensor, needed in zip((x, weight, bias), ctx.needs_input_grad, strict=False) if needed]
    found = iter(torch.autograd.grad(output, wanted, gradient, create_graph=True))
    return tuple(next(found) if needed else None for needed in ctx.needs_input_grad)


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        found: Tensor = _SumOverProcesses.apply(gradients[0])
        return found


def _wide(values_D: Tensor) -> Tensor:
    return values_D.view(1, -1, 1, 1)
