"""Data sets in memory and streamed, splits and loaders."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from typing import Any, TypeVar, cast

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset

from lightning_nas.data.reading import DataError, read_image
from lightning_nas.runtime.seeding import current_seed, derive_seed, generator

Batch = tuple[Tensor, ...]
T = TypeVar("T")


def as_it_is(batch: T) -> T:
    """`collate_fn` for sets whose `__getitems__` gives a ready batch."""
    return batch


class ImageSet(Dataset[Batch]):
    """A set of images of one size: subclasses say how many, and how those at some positions are read.

    Args:
        targets: the class of each image; None where classes are not known (prediction), and then batches have none.
    """

    def __init__(self, targets: Sequence[int] | Tensor | None) -> None:
        self.targets = None if targets is None else torch.as_tensor(targets, dtype=torch.int64)

    def __len__(self) -> int:
        raise NotImplementedError

    def read(self, positions: Tensor) -> Tensor:
        """Images at `positions` (B,): uint8 of shape (B, C, H, W)."""
        raise NotImplementedError

    def __getitems__(self, positions: Sequence[int]) -> Batch:
        """(images uint8 (B, C, H, W), targets int64 (B,), positions int64 (B,)); no targets where there are none."""
        index = torch.as_tensor(positions, dtype=torch.int64)
        if self.targets is None:
            return self.read(index), index
        return self.read(index), self.targets[index], index

    def __getitem__(self, position: int) -> Batch:
        return tuple(part[0] for part in self.__getitems__([position]))


class InMemory(ImageSet):
    """Images held as one uint8 tensor: a batch is one indexing operation.

    Args:
        images: uint8 of shape (N, C, H, W).
        targets: N classes.
    """

    def __init__(self, images: Tensor, targets: Sequence[int] | Tensor | None) -> None:
        super().__init__(targets)
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def read(self, positions: Tensor) -> Tensor:
        """Images at `positions`."""
        return self.images.index_select(0, positions)


class Streamed(ImageSet):
    """Images read from disk, each time that they are asked for, by the loader's workers.

    Args:
        paths: N files.
        targets: N classes.
        shape: (C, H, W) to which every image is brought.
    """

    def __init__(
        self, paths: Sequence[str], targets: Sequence[int] | Tensor | None, shape: tuple[int, int, int]
    ) -> None:
        super().__init__(targets)
        self.paths = tuple(paths)
        self.shape = shape

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, positions: Tensor) -> Tensor:
        """Images at `positions`, decoded and resized."""
        return torch.stack([read_image(self.paths[position], self.shape) for position in positions.tolist()])


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
    dataset: Dataset[Any], batch_size: int, trainer: L.Trainer | None, mixed: bool = False, **options: Any
) -> DataLoader[Any]:
    """A loader in a fixed order; shares of several ranks are made equal by repeating up to `ranks - 1` images.

    Args:
        dataset: a set of known length.
        batch_size: of one rank.
        trainer: says how many ranks there are; None: one.
        mixed: in an order drawn once for all, not in the set's own, in which a batch of a folder of images would hold
            one class: its batch statistics describe no other batch, and a few batches not the set.
        options: for `DataLoader`.
    """
    ranks, rank = world(trainer)
    if mixed:
        order = torch.randperm(size_of(dataset), generator=generator(0, "evaluation order")).tolist()
        dataset = Subset(dataset, order)
    sampler: DistributedSampler[Any] = DistributedSampler(dataset, ranks, rank, shuffle=False)
    return _loader(dataset, batch_size, sampler, **options)


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
