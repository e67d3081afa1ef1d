"""Handwritten digits that scikit-learn ships: real images without a download."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from lightning_nas.data.augment import Augment
from lightning_nas.data.base import ImageData
from lightning_nas.data.loading import InMemory, split
from lightning_nas.data.reading import DataError

_SIDE = 8
_TEST_SHARE = 0.2


class Digits(ImageData):
    """1,797 grey images of 8x8 pixels in ten classes; a fifth is the test set. Needs scikit-learn.

    Args:
        batch_size: images in a batch of one rank.
        size: side in pixels to which the images are scaled up; None: 8.
        validation: share of the training set split off for validation; 0: no validation loader.
        crop: padding of random crops; 0 turns them off.
        flip: mirror half of the images, which is wrong for digits.
        cutout: side of the square set to zero; 0 turns it off.
        mean: of each channel; None: computed.
        std: standard deviation of each channel; None: computed.
        workers: loading processes.
        split_seed: seed of the test and validation split.
        predict_root: folder of images to predict.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> data = Digits(batch_size=32, size=16)
        >>> data.classes, data.shape
        (10, (1, 16, 16))
    """

    def __init__(
        self,
        batch_size: int = 64,
        size: int | None = None,
        *,
        validation: float = 0.1,
        crop: int = 1,
        flip: bool = False,
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
        if size is not None and size < _SIDE:
            raise ValueError(f"size={size} is smaller than the images: give {_SIDE} or more, or None.")
        self.size = size or _SIDE

    @property
    def class_names(self) -> tuple[str, ...]:
        """The ten digits."""
        return tuple(str(digit) for digit in range(10))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(1, size, size)."""
        return 1, self.size, self.size

    def load_training(self) -> InMemory:
        """Four fifths of the images."""
        return self._part(0)

    def load_test(self) -> InMemory:
        """The other fifth."""
        return self._part(1)

    def _part(self, which: int) -> InMemory:
        images, targets = self._all
        positions = split(len(images), _TEST_SHARE, self.split_seed, "test")[which]
        return InMemory(images[positions], targets[positions])

    @cached_property
    def _all(self) -> tuple[Tensor, Tensor]:
        try:
            datasets = importlib.import_module("sklearn.datasets")
        except ImportError as error:
            raise DataError(
                "Digits needs scikit-learn, which is not installed: pip install lightning-nas[demo]"
            ) from error
        digits = datasets.load_digits()
        images = torch.as_tensor(digits.images, dtype=torch.float32)[:, None] * (255 / 16)  # values are 0..16
        if self.size != _SIDE:
            images = functional.interpolate(images, self.size, mode="bilinear", align_corners=False)
        return images.round().to(torch.uint8), torch.as_tensor(digits.target, dtype=torch.int64)
