"""Raw batches to network inputs, on the device that they were moved to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import lightning as L
import torch
from torch import Tensor

from lightning_nas.data.augment import Augment
from lightning_nas.data.dataset import Batch, ImageSet, InMemory
from lightning_nas.data.draws import SampleDraws
from lightning_nas.data.loading import split
from lightning_nas.functional.augment import channel_statistics, normalize
from lightning_nas.functional.seeding import current_seed

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
