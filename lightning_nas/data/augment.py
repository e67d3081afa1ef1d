"""Augmentation: settings, draws for each image, and what a batch goes through on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import lightning as L
import torch
from torch import Tensor

from lightning_nas.data.loading import Batch, ImageSet, InMemory, split
from lightning_nas.functional import augment as ops
from lightning_nas.functional.augment import channel_statistics, normalize
from lightning_nas.runtime.seeding import current_seed, generator


@dataclass(frozen=True)
class Augment:
    """Settings of the augmentation of training images, in the order in which they are applied.

    Args:
        crop: pixels of zeros put around an image before a window of its own size is cut out; 0 turns it off.
        resized_crop: smallest share of the area that a window scaled back to the full size keeps (ImageNet: 0.08);
            0 turns it off.
        flip: mirror half of the images.
        jitter: strength of random brightness, contrast and saturation, in [0, 1); 0 turns it off.
        cutout: side in pixels of the square set to zero after normalisation; 0 turns it off.

    Raises:
        ValueError: a setting is out of range, or both croppings are on.

    Example:
        >>> Augment(cutout=16)
        Augment(crop=4, resized_crop=0.0, flip=True, jitter=0.0, cutout=16)
    """

    crop: int = 4
    resized_crop: float = 0.0
    flip: bool = True
    jitter: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        for name in ("crop", "cutout"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name}={getattr(self, name)} must be a number of pixels, 0 or more (0 turns it off)."
                )
        if not 0 <= self.resized_crop <= 1:
            raise ValueError(f"resized_crop={self.resized_crop} must be a share of the area from 0 (off) to 1.")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter={self.jitter} must be at least 0 (off) and below 1.")
        if self.crop and self.resized_crop:
            raise ValueError(f"crop={self.crop} and resized_crop={self.resized_crop} are two croppings: set one to 0.")

    def __call__(self, images_BCHW: Tensor, draw: Callable[[str, int], Tensor], mean: Tensor, std: Tensor) -> Tensor:
        """Augmented and normalised images, float32.

        Args:
            images_BCHW: uint8.
            draw: `draw(name, K)` gives uniform numbers of shape (B, K) for one purpose.
            mean: (C,), in units of 255.
            std: (C,), in units of 255.
        """
        images = images_BCHW
        if self.crop:
            images = ops.pad_crop(images, draw("crop", 2), self.crop)
        if self.resized_crop:
            images = ops.resized_crop(images.float() / 255, draw("resized_crop", 4), self.resized_crop)
        if self.flip:
            images = ops.horizontal_flip(images, draw("flip", 1)[:, 0] < 0.5)
        if self.jitter:
            images = images if images.is_floating_point() else images.float() / 255
            images = ops.color_jitter(images, draw("jitter", 3), self.jitter)
        images = ops.normalize(images, mean, std)
        return ops.cutout(images, draw("cutout", 2), self.cutout) if self.cutout else images


class SampleDraws:
    """Uniform numbers that belong to (seed, epoch, sample, purpose), whatever the batch or the rank that asks.

    So they do not depend on the batch size or the number of ranks, and a resumed run sees the same ones. One table for
    each purpose and epoch is drawn on the CPU, moved to the device once, and indexed.

    Args:
        samples: number of images in the training set.
        seed: the run's seed.
        epoch: the epoch that the numbers are for.
        device: where they are used.
    """

    def __init__(self, samples: int, seed: int, epoch: int, device: torch.device) -> None:
        self.samples = samples
        self.key = (seed, epoch, device)
        self._tables: dict[str, Tensor] = {}

    def __call__(self, name: str, columns: int, indices: Tensor) -> Tensor:
        """Numbers in [0, 1) of shape (B, columns) for the samples at `indices` (B,), on their device."""
        if name not in self._tables:
            seed, epoch, device = self.key
            table = torch.rand(self.samples, columns, generator=generator(seed, "augment", name, epoch))
            self._tables[name] = table.to(device)
        return self._tables[name][indices]


_STATISTICS_SAMPLE = 2000  # images looked at for mean and deviation when the set is streamed


class BatchTransform:
    """Normalises a batch, and augments it if it is for training.

    Args:
        augment: settings of the augmentation.
        samples: gives the size of the training set that positions count in; asked only when a batch is augmented.
        mean: of each channel, in units of 255.
        std: standard deviation of each channel, in units of 255.
    """

    def __init__(
        self, augment: Augment, samples: Callable[[], int], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        self.augment = augment
        self.samples = samples
        self.mean = mean
        self.std = std
        self._draws: SampleDraws | None = None
        self._constants: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def __call__(self, batch: Batch, trainer: L.Trainer | None) -> Batch:
        """(images float32, targets) of (images uint8, targets, positions); (images, positions) keep their positions."""
        images, *rest = batch
        mean, std = self._mean_and_std(images.device)
        if len(rest) == 1:
            images = normalize(images, mean, std)
        else:
            positions = rest.pop()
            if trainer is not None and trainer.training:  # false in sanity checks and in validation during a fit
                draws = self._draws_for(trainer.current_epoch, images.device)
                images = self.augment(images, lambda name, columns: draws(name, columns, positions), mean, std)
            else:
                images = normalize(images, mean, std)
        if trainer is not None:  # Lightning converts to 64-bit or true 16-bit before this, when images are still uint8
            images = trainer.precision_plugin.convert_input(images)
        return images, *rest

    def _draws_for(self, epoch: int, device: torch.device) -> SampleDraws:
        key = (current_seed(), epoch, device)
        if self._draws is None or self._draws.key != key:
            self._draws = SampleDraws(self.samples(), *key)
        return self._draws

    def _mean_and_std(self, device: torch.device) -> tuple[Tensor, Tensor]:
        if device not in self._constants:  # made once: a copy from Python numbers waits for the GPU
            self._constants[device] = torch.tensor(self.mean, device=device), torch.tensor(self.std, device=device)
        return self._constants[device]


def statistics(images: ImageSet) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, in units of 255; of 2,000 images if they are streamed from disk."""
    if isinstance(images, InMemory):
        return channel_statistics(images.images)
    _, sample = split(len(images), min(1.0, _STATISTICS_SAMPLE / len(images)), 0, "statistics")
    return channel_statistics(images.read(torch.tensor(sample)))
