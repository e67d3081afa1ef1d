"""Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from lightning_nas.data.downloaded import DownloadedData

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
