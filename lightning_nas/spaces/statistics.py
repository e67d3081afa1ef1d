"""Running statistics of norms that run together: those of a whole cell are moved at once.

Shapes: N norms, C channels of one, D = N * C.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_nas.functional.normalization import normalize
from lightning_nas.functional.synchronized import normalize_together
from lightning_nas.norm import BatchNorm


class _Batch(NamedTuple):
    """What some norms of equal settings found in a batch with `size` values a channel; (C,) if all found the same.

    Where several processes share their statistics, `total` (1,) says how many values they have together.
    """

    norms: Sequence[BatchNorm]
    size: int
    mean: Tensor
    invstd: Tensor
    total: Tensor | None

    def parts(self, values_D: Tensor) -> Sequence[Tensor]:
        """The values of each norm."""
        number = len(self.norms)
        return [values_D] * number if len(values_D) == self.norms[0].num_features else values_D.chunk(number)


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
    dtype = _given(norms[0].running_mean).dtype
    found = (mean_D.detach().to(dtype), invstd_D.detach().to(dtype))
    batch = _Batch(norms, x.shape[0] * x.shape[2] * x.shape[3], *found, total)
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
        # The variance of a sample, as everywhere in torch.
        biased = torch.cat([batch.invstd for batch in group]).pow_(-2).sub_(eps)
        unbiased = biased.mul_(size / (size - 1) if total is None else total / (total - 1)).split_with_sizes(
            [len(batch.mean) for batch in group]
        )
        means = [mean for batch in group for mean in batch.parts(batch.mean)]
        variances = [part for batch, variance in zip(group, unbiased, strict=True) for part in batch.parts(variance)]
        if momentum is None:
            for norm, mean, variance in zip((n for batch in group for n in batch.norms), means, variances, strict=True):
                norm.move_statistics(mean, variance)
            continue
        norms = [norm._buffers for batch in group for norm in batch.norms]
        torch._foreach_add_([_given(buffers["num_batches_tracked"]) for buffers in norms], 1)
        running = [_given(buffers[name]) for name in ("running_mean", "running_var") for buffers in norms]
        torch._foreach_lerp_(running, [*means, *variances], momentum)


def _given(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
