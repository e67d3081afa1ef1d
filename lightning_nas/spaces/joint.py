"""Layers of several edges run as one: the channels hold the edges one after the other.

Shapes: B batch, E edges, C channels of an edge, D = E * C, h and w height and width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.functional.convolution import depthwise, pointwise
from lightning_nas.norm import BatchNorm
from lightning_nas.spaces.statistics import normalizer, record, uses_batch


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


def joint_norm(norms: Sequence[BatchNorm], x_BDhw: Tensor, scale_D: Tensor | None = None) -> Tensor:
    """Norms, each on the channels of its edge; what they give is multiplied by `scale_D`, if given.

    Norms of another class, such as those that share their statistics among ranks, are called one by one.
    """
    first = norms[0]
    if not isinstance(first, BatchNorm):
        output = torch.cat([norm(part) for norm, part in zip(norms, x_BDhw.chunk(len(norms), 1), strict=True)], dim=1)
        return output if scale_D is None else output * scale_D.view(1, -1, 1, 1)
    weight, bias = _affine(norms, scale_D)
    if not uses_batch(first):
        mean, var = (_cat([_given(getattr(n, name)) for n in norms]) for name in ("running_mean", "running_var"))
        return F.batch_norm(x_BDhw, mean, var, weight, bias, eps=first.eps)
    output, *found = normalizer(first)(x_BDhw, weight, bias, first.eps)
    record(norms, x_BDhw, *found)
    return output


def shared_norm(norms: Sequence[BatchNorm], x_BChw: Tensor) -> Tensor:
    """What affine-free norms that use the batch's statistics all give for one input.

    Each keeps its own running statistics and moves them, as if it had been called.
    """
    output, *found = normalizer(norms[0])(x_BChw, None, None, norms[0].eps)
    record(norms, x_BChw, *found)
    return output


def _affine(norms: Sequence[BatchNorm], scale_D: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias of the joint norm, (D,) each."""
    if not norms[0].affine:
        return scale_D, None
    weight, bias = _cat([n.weight for n in norms]), _cat([n.bias for n in norms])
    return (weight, bias) if scale_D is None else (weight * scale_D, bias * scale_D)


def _cat(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _given(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
