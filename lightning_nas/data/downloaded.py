"""Base of the data sets that torchvision downloads and checks."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
import torchvision
from torch import Tensor

from lightning_nas.data.augment import Augment
from lightning_nas.data.base import ImageData
from lightning_nas.data.dataset import InMemory
from lightning_nas.data.errors import DataError


class DownloadedData(ImageData):
    """A data set of torchvision, held in memory. A subclass names it and gives its sizes.

    The published statistics are used unless others are given, so searches compare with the papers'. There is no
    validation part by default: papers train on the whole set, and `Bilevel` validates on its second half.

    Args:
        root: folder that the files are downloaded to, if they are not there.
        batch_size: images in a batch of one rank.
        validation: share of the training set split off for validation; 0: no validation loader.
        crop: padding of random crops; 0 turns them off.
        flip: mirror half of the images.
        cutout: side of the square set to zero; 0 turns it off (DARTS: 16 for the final training).
        mean: of each channel; None: the published ones.
        std: standard deviation of each channel; None: the published ones.
        workers: loading processes.
        split_seed: seed of the validation split.
        predict_root: folder of images to predict.

    Raises:
        ValueError: an argument is out of range.
    """

    source: ClassVar[str]
    published: ClassVar[tuple[tuple[float, ...], tuple[float, ...]]]

    def __init__(
        self,
        root: str | Path = "data",
        batch_size: int = 64,
        *,
        validation: float = 0.0,
        crop: int = 4,
        flip: bool = True,
        cutout: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        workers: int = 0,
        split_seed: int = 0,
        predict_root: str | Path | None = None,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            validation=validation,
            augment=Augment(crop=crop, flip=flip, cutout=cutout),
            mean=mean,
            std=std,
            workers=workers,
            split_seed=split_seed,
            predict_root=predict_root,
        )
        self.root = root

    @cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The published (mean, std)."""
        return self.published

    def prepare_data(self) -> None:
        """Downloads the files once, on one rank.

        Raises:
            DataError: they cannot be had.
        """
        try:
            self._open(train=True, download=True)
        except (OSError, RuntimeError) as error:  # a failed connection is an OSError
            raise DataError(
                f"{self.source} is not in root={str(self.root)!r} and could not be downloaded ({error}). "
                "Give the folder that holds it, or connect to the network."
            ) from error

    def load_training(self) -> InMemory:
        """The training images."""
        return self._part(train=True)

    def load_test(self) -> InMemory:
        """The test images."""
        return self._part(train=False)

    @abstractmethod
    def to_images(self, raw: Tensor) -> Tensor:
        """uint8 (N, C, H, W) from torchvision's array."""

    def _part(self, train: bool) -> InMemory:
        try:
            data = self._open(train=train, download=False)
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"{self.source} is not in root={str(self.root)!r}, or damaged ({error}). "
                "Call prepare_data(), which a Trainer does by itself, or give the folder that holds it."
            ) from error
        return InMemory(self.to_images(torch.as_tensor(data.data)), torch.as_tensor(data.targets))

    def _open(self, train: bool, download: bool) -> Any:
        dataset = getattr(torchvision.datasets, self.source)
        return dataset(str(self.root), train=train, download=download)
