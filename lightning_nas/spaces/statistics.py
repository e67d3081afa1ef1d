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
