"""Data sets that are downloaded: CIFAR-10, CIFAR-100 and Fashion-MNIST."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
import torchvision
from torch import Tensor
from torch.nn import functional

from lightning_nas.data.augment import Augment
from lightning_nas.data.base import ImageData
from lightning_nas.data.loading import InMemory
from lightning_nas.data.reading import DataError


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


_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class Cifar10(DownloadedData):
    """50,000 training and 10,000 test images, 32x32 in colour, ten classes. Arguments: see `DownloadedData`.

    Example:
        >>> data = Cifar10("data", batch_size=96, cutout=16)
        >>> data.classes, data.shape, data.class_names[0]
        (10, (3, 32, 32), 'airplane')
    """

    source = "CIFAR10"
    # the DARTS authors' numbers
    published = ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768))

    @property
    def class_names(self) -> tuple[str, ...]:
        """From airplane to truck."""
        return tuple(_CIFAR10.split())

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, 32, 32)."""
        return 3, 32, 32

    def to_images(self, raw: Tensor) -> Tensor:
        """Channels moved to the front."""
        return raw.permute(0, 3, 1, 2).contiguous()


class Cifar100(Cifar10):
    """50,000 training and 10,000 test images, 32x32 in colour, a hundred classes. Arguments: see `DownloadedData`."""

    source = "CIFAR100"
    published = ((0.50707516, 0.48654887, 0.44091784), (0.26733429, 0.25643846, 0.27615047))

    @property
    def class_names(self) -> tuple[str, ...]:
        """From apple to worm."""
        return tuple(_CIFAR100.split())


_SIDE = 28
_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")


class FashionMnist(DownloadedData):
    """60,000 training and 10,000 test images of clothes, 28x28 in grey, put in the middle of 32x32 zeros; ten classes.

    Args:
        root: folder that the files are downloaded to, if they are not there.
        batch_size: images in a batch of one rank.
        size: side in pixels after padding with zeros; 28: as they are.
        validation: share of the training set split off for validation; 0: no validation loader.
        crop: padding of random crops; 0 turns them off.
        flip: mirror half of the images.
        cutout: side of the square set to zero; 0 turns it off.
        mean: of each channel; None: the well-known one of the unpadded images.
        std: standard deviation of each channel; None: the well-known one of the unpadded images.
        workers: loading processes.
        split_seed: seed of the validation split.
        predict_root: folder of images to predict.

    Raises:
        ValueError: an argument is out of range.
    """

    source = "FashionMNIST"
    published = ((0.2860,), (0.3530,))

    def __init__(
        self,
        root: str | Path = "data",
        batch_size: int = 64,
        size: int = 32,
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
            root,
            batch_size,
            validation=validation,
            crop=crop,
            flip=flip,
            cutout=cutout,
            mean=mean,
            std=std,
            workers=workers,
            split_seed=split_seed,
            predict_root=predict_root,
        )
        if size < _SIDE:
            raise ValueError(f"size={size} is smaller than the images: give {_SIDE} or more.")
        self.size = size

    @property
    def class_names(self) -> tuple[str, ...]:
        """T-shirt/top to Ankle boot."""
        return _NAMES

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, size, size)."""
        return 1, self.size, self.size

    def to_images(self, raw: Tensor) -> Tensor:
        """Zeros around each image, equally on all sides (one more below and right if the number is odd)."""
        before, missing = (self.size - _SIDE) // 2, self.size - _SIDE
        return functional.pad(raw[:, None], (before, missing - before) * 2)
