"""Random numbers of the augmentation, which belong to samples and not to batches."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_nas.functional.seeding import generator


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
