"""A user's own folder of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from statistics import median

from lightning.pytorch.utilities import rank_zero_info

from lightning_nas.data.augment import Augment
from lightning_nas.data.base import ImageData
from lightning_nas.data.loading import ImageSet, InMemory, Streamed, split
from lightning_nas.data.reading import DataError, read_header, read_images
from lightning_nas.data.scan import Files, Layout, scan

_HEADERS = 1000  # files whose heads are read to find size and channels
_LARGEST = 224  # side that images of unequal sizes are brought to, at most
_VALIDATION_SHARE, _TEST_SHARE = 0.1, 0.2


class ImageFolder(ImageData):
    """Images in class folders: `root/<class>/*` or `root/{train,val,test}/<class>/*`; see docs/own-data.md.

    Classes are the folders' names in alphabetical order. Size and channels are found in the heads of up to 1,000 files:
    grey if all of them are; their size if all are equal, else a square of the median shorter side, at most 224. Other
    sizes are scaled to cover that, and their centre kept. What fits into `memory_limit_gb` is read once, before
    training; a larger folder is read by workers while training.

    Args:
        root: the folder.
        batch_size: images in a batch of one rank.
        size: side in pixels to which every image is brought; None: as found.
        validation: share of the training images split off; None: the validation folder, or 0.1 if there is none.
        test: share of the images split off for the test; None: the test folder; if there is none the validation
            folder; if there is none either, 0.2. 0: no test set.
        memory_limit_gb: up to how many GB (10^9 bytes) of decoded images are kept in memory.
        crop: padding of random crops; 0 turns them off.
        resized_crop: smallest share of the area in random crops scaled to full size (ImageNet: 0.08, with `crop=0`).
        flip: mirror half of the images.
        jitter: strength of random brightness, contrast and saturation; 0 turns it off.
        cutout: side of the square set to zero; 0 turns it off.
        mean: of each channel; None: computed from the training images.
        std: standard deviation of each channel; None: computed from the training images.
        workers: loading processes; None: none for images in memory, up to 8 otherwise.
        split_seed: seed of the test and validation split.
        predict_root: folder of images to predict.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        root: str | Path,
        batch_size: int = 64,
        size: int | None = None,
        *,
        validation: float | None = None,
        test: float | None = None,
        memory_limit_gb: float = 4.0,
        crop: int = 4,
        resized_crop: float = 0.0,
        flip: bool = True,
        jitter: float = 0.0,
        cutout: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        workers: int | None = None,
        split_seed: int = 0,
        predict_root: str | Path | None = None,
    ) -> None:
        super().__init__(
            batch_size=batch_size,
            validation=_VALIDATION_SHARE if validation is None else validation,
            augment=Augment(crop=crop, resized_crop=resized_crop, flip=flip, jitter=jitter, cutout=cutout),
            mean=mean,
            std=std,
            workers=workers or 0,
            split_seed=split_seed,
            predict_root=predict_root,
        )
        if size is not None and size < 1:
            raise ValueError(f"size={size} must be a number of pixels, 1 or more, or None to find it by looking.")
        if test is not None and not 0 <= test < 1:
            raise ValueError(f"test={test} must be a share of the images: at least 0 and below 1.")
        if memory_limit_gb < 0:
            raise ValueError(f"memory_limit_gb={memory_limit_gb} must be 0 (always read from disk) or more.")
        self.root, self.size, self.memory_limit_gb = root, size, memory_limit_gb
        self._shares = (validation, test)
        self._workers = workers

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the class folders, sorted."""
        return self._parts_on_disk.class_names

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width), found by looking unless `size` was given."""
        paths = self._parts_on_disk.train.paths
        sample = split(len(paths), min(1.0, _HEADERS / len(paths)), 0, "headers")[1]
        headers = [read_header(paths[position]) for position in sample]
        channels = 1 if all(header.grey for header in headers) else 3
        if self.size is not None:
            return channels, self.size, self.size
        sizes = {(header.height, header.width) for header in headers}
        if len(sizes) == 1:
            return channels, *sizes.pop()
        side = min(_LARGEST, int(median(min(header.height, header.width) for header in headers)))
        return channels, side, side

    @property
    def in_memory(self) -> bool:
        """Whether all decoded images fit into `memory_limit_gb`."""
        disk = self._parts_on_disk
        parts = {id(part): part for part in (disk.train, disk.validation, disk.test) if part is not None}
        count = sum(map(len, parts.values()))
        channels, height, width = self.shape
        return count * channels * height * width <= self.memory_limit_gb * 1e9

    def setup(self, stage: str) -> None:
        """Reads the images, or finds that they are too many to keep; proposes the stem that suits their size."""
        if not self.in_memory and self._workers is None:
            self.workers = min(8, os.cpu_count() or 1)
        super().setup(stage)
        if stage == "fit":
            if self._parts_on_disk.test is not None:
                self.testing  # noqa: B018  an unreadable test image is found before training, not after
            if self.stem == "imagenet":
                rank_zero_info(f"Images of {self.shape[1]}x{self.shape[2]} pixels: give the skeleton `stem: imagenet`.")

    def load_training(self) -> ImageSet:
        """The images of the training folder, or of all folders less the test share."""
        return self._load(self._parts_on_disk.train)

    def load_validation(self) -> ImageSet | None:
        """The images of the validation folder, if there is one."""
        return self._validation

    @cached_property
    def _validation(self) -> ImageSet | None:
        files = self._parts_on_disk.validation
        return None if files is None else self._load(files)

    def load_test(self) -> ImageSet:
        """The images of the test folder, or the share split off."""
        files = self._parts_on_disk.test
        if files is None:
            raise DataError(f"test=0 leaves no test set in root={str(self.root)!r}. Give a share, or a test folder.")
        if files is self._parts_on_disk.validation and self._validation is not None:
            return self._validation
        return self._load(files)

    def _load(self, files: Files) -> ImageSet:
        if not self.in_memory:
            return Streamed(files.paths, files.targets, self.shape)
        rank_zero_info(f"Reading {len(files)} images of {str(self.root)!r} into memory.")
        return InMemory(read_images(files.paths, self.shape), files.targets)

    @cached_property
    def _parts_on_disk(self) -> Layout:
        layout = scan(self.root)
        validation, test = self._shares
        for name, share, found in (("validation", validation, layout.validation), ("test", test, layout.test)):
            if share is not None and found is not None:
                raise DataError(f"{name}={share}, but root={str(self.root)!r} has a {name} folder. Leave {name} out.")
        if layout.test is not None:
            return layout
        if layout.validation is not None and test is None:
            rank_zero_info(f"root={str(self.root)!r} has no test folder: the validation images are the test set.")
            return Layout(layout.class_names, layout.train, layout.validation, layout.validation)
        rest, part = split(len(layout.train), _TEST_SHARE if test is None else test, self.split_seed, "test")
        held_out = layout.train.pick(part) if part else None
        return Layout(layout.class_names, layout.train.pick(rest), layout.validation, held_out)
