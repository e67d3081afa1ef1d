"""Loaders whose order is a function of (seed, epoch), shared out between the ranks by hand.

Lightning leaves a `DistributedSampler` alone and tells it the epoch, so ranks never see the same training image in an
epoch, and a resumed run repeats the order that an unbroken one has.
"""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Any, cast

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset

from lightning_nas.data.errors import DataError
from lightning_nas.functional.seeding import current_seed, derive_seed, generator


def size_of(dataset: Dataset[Any]) -> int:
    """Number of samples."""
    return len(cast(Sized, dataset))


def world(trainer: L.Trainer | None) -> tuple[int, int]:
    """(number of ranks, this rank); (1, 0) without a trainer."""
    return (1, 0) if trainer is None else (trainer.world_size, trainer.global_rank)


def check_batch_size(samples: int, batch_size: int, ranks: int, what: str) -> None:
    """Refuses a batch larger than one rank's share of `what`.

    Raises:
        DataError: it is larger.
    """
    share = samples // ranks
    if batch_size > share:
        of = f" for each of {ranks} ranks" if ranks > 1 else ""
        raise DataError(
            f"batch_size={batch_size} is larger than {what}, which has {share} images{of}. "
            f"Give batch_size={max(1, share)} or less, or more images."
        )


def training_loader(
    dataset: Dataset[Any], batch_size: int, trainer: L.Trainer | None, key: str, drop_last: bool = False, **options: Any
) -> DataLoader[Any]:
    """A shuffled loader of this rank's share.

    With several ranks, the up to `ranks - 1` images left over are skipped in that epoch (other ones in each), so that
    shares are equal and disjoint. The last, short batch is kept, unless it holds a single image, on which batch norm
    fails.

    Args:
        dataset: a set of known length.
        batch_size: of one rank.
        trainer: says how many ranks there are; None: one.
        key: loaders with different keys are shuffled independently.
        drop_last: drop the short batch whatever its size.
        options: for `DataLoader`.
    """
    ranks, rank = world(trainer)
    seed = derive_seed(current_seed(), "shuffle", key)
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, ranks, rank, shuffle=True, seed=seed, drop_last=True)
    single = batch_size > 1 and len(sampler) % batch_size == 1
    return _loader(dataset, batch_size, sampler, drop_last=drop_last or single, **options)


def evaluation_loader(
    dataset: Dataset[Any], batch_size: int, trainer: L.Trainer | None, **options: Any
) -> DataLoader[Any]:
    """A loader in the set's own order; shares of several ranks are made equal by repeating up to `ranks - 1` images."""
    ranks, rank = world(trainer)
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, ranks, rank, shuffle=False)
    return _loader(dataset, batch_size, sampler, **options)


def mixed(dataset: Dataset[Any]) -> Subset[Any]:
    """The set in a random order that is the same in every run.

    A folder's images come class by class. Norms that use each batch's statistics, and searches that score on a few
    batches, need batches of all classes.

    Example:
        >>> mixed(range(5)).indices == mixed(range(5)).indices, sorted(mixed(range(5)).indices)
        (True, [0, 1, 2, 3, 4])
    """
    return Subset(dataset, torch.randperm(size_of(dataset), generator=generator(0, "mixed")).tolist())


def _loader(
    dataset: Dataset[Any], batch_size: int, sampler: DistributedSampler[Any], **options: Any
) -> DataLoader[Any]:
    # a generator of its own: making an iterator would otherwise draw from the global one
    return DataLoader(
        dataset, batch_size=batch_size, sampler=sampler, generator=generator(current_seed(), "loader"), **options
    )


def split(samples: int, share: float, seed: int, key: str) -> tuple[list[int], list[int]]:
    """Positions 0..samples-1 in two disjoint, sorted parts; the second holds `share` of them, at least one if not 0.

    Example:
        >>> rest, part = split(10, 0.3, seed=0, key="test")
        >>> len(rest), len(part), sorted(rest + part) == list(range(10))
        (7, 3, True)
    """
    count = max(1, math.floor(samples * share + 0.5)) if share > 0 else 0
    order = torch.randperm(samples, generator=generator(seed, "split", key)).tolist()
    return sorted(order[count:]), sorted(order[:count])
