"""Sets of labelled images that give a whole batch in one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lightning_nas.data.reading import read_image

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
