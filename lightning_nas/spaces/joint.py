"""Layers of several edges run as one: the channels hold the edges one after the other.

Shapes: B batch, E edges, C channels of an edge, D = E * C, h and w height and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.functional.convolution import depthwise, pointwise
from lightning_nas.skeleton import BatchNorm


def joint_depthwise(convs: Sequence[nn.Conv2d], x_BDhw: Tensor, plain: bool = False) -> Tensor:
    """Depthwise convolutions, each on the channels of its edge; `plain` leaves out their stride and dilation."""
    weight = _cat([conv.weight for conv in convs])
    if plain:
        return depthwise(x_BDhw, weight, padding=weight.shape[-1] // 2)
    first = convs[0]
    return depthwise(x_BDhw, weight, first.stride[0], int(first.padding[0]), first.dilation[0])


def joint_pointwise(convs: Sequence[nn.Conv2d], x_BDhw: Tensor) -> Tensor:
    """1x1 convolutions, each on the channels of its edge."""
    return pointwise(x_BDhw, _cat([conv.weight for conv in convs]))


def joint_conv(convs: Sequence[nn.Conv2d], x_BChw: Tensor, stride: int | None = None) -> Tensor:
    """Convolutions of one input that all edges share, (B, D, h, w), with their own stride if none is given."""
    first = convs[0]
    bias = None if first.bias is None else _cat([_given(conv.bias) for conv in convs])
    return F.conv2d(x_BChw, _cat([conv.weight for conv in convs]), bias, stride or first.stride, first.padding)


def joint_norm(norms: Sequence[BatchNorm], x_BDhw: Tensor, scale_E: Tensor | None = None) -> Tensor:
    """Norms, each on the channels of its edge; what each edge gives is multiplied by its `scale_E`, if given.

    Norms of another class, such as those that share their statistics among ranks, are called one by one.
    """
    first = norms[0]
    if not isinstance(first, BatchNorm):
        scales = [1.0] * len(norms) if scale_E is None else scale_E.unbind()
        parts = zip(norms, x_BDhw.chunk(len(norms), 1), scales, strict=True)
        return torch.cat([norm(part) * scale for norm, part, scale in parts], dim=1)
    weight, bias = _affine(norms, scale_E, x_BDhw)
    if not uses_batch(first):
        mean, var = (_cat([_given(getattr(n, name)) for n in norms]) for name in ("running_mean", "running_var"))
        return F.batch_norm(x_BDhw, mean, var, weight, bias, eps=first.eps)
    if not _moves(first):
        return F.batch_norm(x_BDhw, None, None, weight, bias, training=True, eps=first.eps)
    # A momentum of 1 writes the batch's own mean and unbiased variance into the two buffers.
    statistics_2D = _given(first.running_mean).new_zeros(2, x_BDhw.shape[1])
    mean, var = statistics_2D.unbind()
    output = F.batch_norm(x_BDhw, mean, var, weight, bias, training=True, momentum=1.0, eps=first.eps)
    _move(norms, mean.chunk(len(norms)), var.chunk(len(norms)))
    return output


def shared_norm(norms: Sequence[BatchNorm], x_BChw: Tensor) -> Tensor:
    """What affine-free norms that use the batch's statistics all give for one input.

    Each keeps its own running statistics and moves them, as if it had been called.
    """
    first = norms[0]
    if not _moves(first):
        return F.batch_norm(x_BChw, None, None, training=True, eps=first.eps)
    mean, var = _given(first.running_mean).new_zeros(2, x_BChw.shape[1]).unbind()
    output = F.batch_norm(x_BChw, mean, var, training=True, momentum=1.0, eps=first.eps)
    _move(norms, [mean] * len(norms), [var] * len(norms))
    return output


def uses_batch(norm: nn.Module) -> bool:
    """Whether a norm of this package, as it is set now, normalises with the statistics of its batch."""
    if not isinstance(norm, BatchNorm):
        return False
    return norm.training or norm.use_batch_statistics or not norm.track_running_stats


def _moves(norm: BatchNorm) -> bool:
    """Whether a call of the norm, as it is set now, moves its running statistics."""
    return norm.training and norm.track_running_stats


@torch.no_grad()
def _move(norms: Sequence[BatchNorm], means: Sequence[Tensor], variances: Sequence[Tensor]) -> None:
    counts = [_given(n.num_batches_tracked) for n in norms]
    torch._foreach_add_(counts, 1)
    buffers = [_given(n.running_mean) for n in norms] + [_given(n.running_var) for n in norms]
    momentum = norms[0].momentum
    if momentum is not None:
        torch._foreach_lerp_(buffers, [*means, *variances], momentum)
        return
    for buffer, value, count in zip(buffers, [*means, *variances], counts * 2, strict=True):
        buffer.lerp_(value, 1.0 / count.to(value.dtype))  # None: the mean over all batches


def _affine(norms: Sequence[BatchNorm], scale_E: Tensor | None, x_BDhw: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias of the joint norm, (D,) each."""
    affine = norms[0].affine
    weight = _cat([n.weight for n in norms]) if affine else None
    bias = _cat([n.bias for n in norms]) if affine else None
    if scale_E is None:
        return weight, bias
    scale_D = scale_E.repeat_interleave(x_BDhw.shape[1] // len(norms))
    if weight is None or bias is None:
        return scale_D, torch.zeros_like(scale_D)
    return weight * scale_D, bias * scale_D


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _given(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
