"""`ImageData`: what all image data modules have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
from torch.utils.data import DataLoader, Subset

from lightning_nas.config import Configurable
from lightning_nas.data.augment import Augment, BatchTransform, statistics
from lightning_nas.data.loading import (
    Batch,
    ImageSet,
    Streamed,
    as_it_is,
    check_batch_size,
    evaluation_loader,
    split,
    training_loader,
    world,
)
from lightning_nas.data.reading import DataError
from lightning_nas.data.scan import images_under


class ImageData(L.LightningDataModule, Configurable, ABC):
    """Labelled images in train, validation and test parts, augmented batch-wise on the training device.

    A loader gives raw batches (images uint8 (B, C, H, W), targets, positions); after the transfer to the device a batch
    is (images float32, normalised, targets), and augmented if it is a training batch. Prediction batches are
    (images, positions in `predict_files`).

    A subclass gives `class_names`, `shape`, `load_training` and `load_test`.

    Args:
        batch_size: images in a batch of one rank.
        validation: share of the training set that is split off for validation; 0: there is no validation loader.
        augment: settings of the augmentation.
        mean: of each channel, in units of 255; None: the data set's own.
        std: standard deviation of each channel, in units of 255; None: the data set's own.
        workers: processes that load; 0: this process, which is right for images in memory.
        split_seed: seed of every split, apart from the run's seed so that runs can share a split.
        predict_root: folder of images, with or without sub-folders, to predict the classes of.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        *,
        batch_size: int,
        validation: float,
        augment: Augment,
        mean: Sequence[float] | None,
        std: Sequence[float] | None,
        workers: int,
        split_seed: int,
        predict_root: str | Path | None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be 1 or more.")
        if not 0 <= validation < 1:
            raise ValueError(f"validation={validation} must be a share of the training set: at least 0 and below 1.")
        if workers < 0:
            raise ValueError(f"workers={workers} must be 0 (load in this process) or more.")
        if std is not None and min(std) <= 0:
            raise ValueError(f"std={list(std)} must be positive for every channel.")
        self.batch_size = batch_size
        self.validation = validation
        self.augment = augment
        self.workers = workers
        self.split_seed = split_seed
        self.predict_root = predict_root
        self._given = (mean, std)

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their numbers."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""

    @abstractmethod
    def load_training(self) -> ImageSet:
        """The whole training set, from which `validation` is split off."""

    @abstractmethod
    def load_test(self) -> ImageSet:
        """The test set."""

    def load_validation(self) -> ImageSet | None:
        """A validation set of the data's own, which then replaces the split; None: there is none."""
        return None

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def stem(self) -> str:
        """Stem that suits the image size: "imagenet" over 64 pixels, else "cifar"."""
        return "imagenet" if max(self.shape[1:]) > 64 else "cifar"

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean of each channel, in units of 255."""
        return self._per_channel("mean", self._given[0])

    @property
    def std(self) -> tuple[float, ...]:
        """Standard deviation of each channel, in units of 255."""
        return self._per_channel("std", self._given[1])

    def _per_channel(self, name: str, given: Sequence[float] | None) -> tuple[float, ...]:
        if given is None:
            return self.statistics[0 if name == "mean" else 1]
        if len(given) != self.shape[0]:
            raise DataError(f"{name}={list(given)} has {len(given)} numbers; the images have {self.shape[0]} channels.")
        return tuple(float(value) for value in given)

    @cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(mean, std) of the data set, computed from all its training images, the validation share included."""
        return statistics(self.training)

    @cached_property
    def training(self) -> ImageSet:
        """The whole training set; positions in batches count in it."""
        return self.load_training()

    @cached_property
    def testing(self) -> ImageSet:
        """The test set."""
        return self.load_test()

    @cached_property
    def parts(self) -> tuple[Subset[Batch], Subset[Batch] | ImageSet | None]:
        """(training part, validation part or None)."""
        own = self.load_validation()
        share = 0.0 if own is not None else self.validation
        rest, part = split(len(self.training), share, self.split_seed, "validation")
        return Subset(self.training, rest), own if own is not None else Subset(self.training, part) if part else None

    @cached_property
    def predict_files(self) -> tuple[str, ...]:
        """Files under `predict_root`, sorted; a prediction batch's positions count in it."""
        if self.predict_root is None:
            raise DataError("predict_root=None: give the folder of the images whose classes are to be predicted.")
        return images_under(self.predict_root, "predict_root")

    def setup(self, stage: str) -> None:
        """Loads what the stage needs and checks it, before any work starts.

        Raises:
            DataError: data that is missing, unreadable or does not fit the arguments.
        """
        if stage == "predict":
            self._prediction_set  # noqa: B018  reads the folder
        elif stage == "test":
            self.testing  # noqa: B018  reads the files
        else:
            train, _ = self.parts
            check_batch_size(len(train), self.batch_size, world(self.trainer)[0], "the training set")
        side = min(self.shape[1:])
        if self.augment.cutout > side:
            raise DataError(
                f"cutout={self.augment.cutout} is larger than the images ({side} pixels). Give {side // 2}."
            )
        self.mean, self.std  # noqa: B018  computed here, or found to have the wrong length

    @cached_property
    def _prediction_set(self) -> ImageSet:
        return Streamed(self.predict_files, None, self.shape)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Raw training batches, shuffled by (seed, epoch)."""
        return training_loader(self.parts[0], self.batch_size, self.trainer, "train", **self._options())

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Raw validation batches of mixed classes; an empty list, which Lightning accepts, without a set."""
        part = self.parts[1]
        if part is None:
            return []
        return evaluation_loader(part, self.batch_size, self.trainer, mixed=True, **self._options())

    def test_dataloader(self) -> DataLoader[Batch]:
        """Raw test batches."""
        return evaluation_loader(self.testing, self.batch_size, self.trainer, **self._options())

    def predict_dataloader(self) -> DataLoader[Batch]:
        """Raw batches (images, positions); Lightning shares these out itself, without repetition."""
        return DataLoader(self._prediction_set, batch_size=self.batch_size, **self._options())

    def _options(self) -> dict[str, Any]:
        on_gpu = self.trainer is not None and self.trainer.strategy.root_device.type == "cuda"
        workers = {"num_workers": self.workers, "persistent_workers": self.workers > 0}
        return {"collate_fn": as_it_is, "pin_memory": on_gpu, **workers}

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Normalises a raw batch on its device, and augments it if it is for training.

        Args:
            batch: (images, targets, positions), or (images, positions) in prediction.
            dataloader_idx: unused; one rule for all loaders.
        """
        return self._transform(batch, self.trainer)

    @cached_property
    def _transform(self) -> BatchTransform:
        return BatchTransform(self.augment, lambda: len(self.training), self.mean, self.std)
