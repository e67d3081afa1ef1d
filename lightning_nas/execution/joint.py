"""Layers of several edges run as one, and the running statistics of their norms.

Shapes: B batch, E edges, N norms, C channels of an edge or a norm, D = E * C, h and w height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.execution.norm import BatchNorm
from lightning_nas.functional.convolution import depthwise, pointwise
from lightning_nas.functional.normalization import normalize, normalize_together


class _Batch(NamedTuple):
    """What some norms of equal settings found in a batch with `size` values a channel; (C,) if all found the same.

    Where several processes share their statistics, `total` (1,) says how many values they have together.
    """

    norms: Sequence[BatchNorm]
    size: int
    mean: Tensor
    invstd: Tensor
    total: Tensor | None

    @property
    def alike(self) -> bool:
        """Whether all norms found the same."""
        return self.mean.shape[0] == self.norms[0].num_features


_collected: ContextVar[list[_Batch] | None] = ContextVar("collected", default=None)


def uses_batch(norm: nn.Module) -> bool:
    """Whether a norm of this package, as it is set now, normalises with the statistics of its batch."""
    if not isinstance(norm, BatchNorm):
        return False
    return norm.training or norm.use_batch_statistics or not norm.track_running_stats


def normalizer(norm: BatchNorm) -> Callable[[Tensor, Tensor | None, Tensor | None, float], tuple[Tensor, ...]]:
    """`normalize`, or its form for all processes, for a norm that uses its batch: the output, then what to record."""
    return normalize_together if norm.synchronized and norm.training else normalize


def record(
    norms: Sequence[BatchNorm], x: Tensor, mean_D: Tensor, invstd_D: Tensor, total: Tensor | None = None
) -> None:
    """Move the running statistics of norms that normalised `x` (B, D or C, h, w), if a call of theirs would.

    Within `moved_together` they are moved at its end.
    """
    if not (norms[0].training and norms[0].track_running_stats):
        return
    batch = _Batch(norms, x.shape[0] * x.shape[2] * x.shape[3], mean_D, invstd_D, total)
    collected = _collected.get()
    if collected is None:
        _move([batch])
    else:
        collected.append(batch)


@contextmanager
def moved_together() -> Iterator[None]:
    """Within it running statistics wait; they move together at its end, unless it ends in an exception."""
    token = _collected.set([])
    try:
        yield
        collected = _collected.get()
    finally:
        _collected.reset(token)
    if collected:
        _move(collected)


@torch.no_grad()
def _move(batches: Sequence[_Batch]) -> None:
    groups: dict[tuple[float | None, float, int, bool], list[_Batch]] = {}
    for batch in batches:
        first = batch.norms[0]
        groups.setdefault((first.momentum, first.eps, batch.size, batch.total is None), []).append(batch)
    for (momentum, eps, size, _), group in groups.items():
        total = group[0].total  # equal in a group: other processes have other images, of the same sizes
        found = torch.cat([batch.mean for batch in group] + [batch.invstd for batch in group])
        mean, invstd = found.to(_given(group[0].norms[0].running_mean).dtype).chunk(2)
        # The variance of a sample, as everywhere in torch.
        variance = invstd.pow_(-2).sub_(eps).mul_(size / (size - 1) if total is None else total / (total - 1))
        means, variances = _of_each(mean, group), _of_each(variance, group)
        if momentum is None:
            for norm, *values in zip((n for batch in group for n in batch.norms), means, variances, strict=True):
                norm.move_statistics(*values)
            continue
        norms = [norm._buffers for batch in group for norm in batch.norms]
        torch._foreach_add_([_given(buffers["num_batches_tracked"]) for buffers in norms], 1)
        running = [_given(buffers[name]) for name in ("running_mean", "running_var") for buffers in norms]
        torch._foreach_lerp_(running, [*means, *variances], momentum)


def _of_each(values: Tensor, group: Sequence[_Batch]) -> list[Tensor]:
    """The values of each norm."""
    sizes = [batch.norms[0].num_features for batch in group for _ in range(1 if batch.alike else len(batch.norms))]
    parts = iter(values.split_with_sizes(sizes))
    found = []
    for batch in group:
        found += [next(parts)] * len(batch.norms) if batch.alike else [next(parts) for _ in batch.norms]
    return found


def _given(value: Tensor | None) -> Tensor:
    assert value is not None
    return value


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
