"""The tiny searches, data and callbacks with which the tests of each callback run a fit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.utilities import CombinedLoader
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

from lightning_nas import CellSkeleton, DartsSearch, GdasSearch, StagedSkeleton
from lightning_nas.spaces import DartsSpace, NasBench201Space


class TinyData(L.LightningDataModule):
    """Two batches of random images for each half; the same for validation."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        self.save_hyperparameters()
        images = torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        self.data = TensorDataset(images, torch.arange(8) % classes)

    def train_dataloader(self) -> CombinedLoader:
        return CombinedLoader({half: DataLoader(self.data, 4) for half in ("train", "val")}, "max_size_cycle")

    def val_dataloader(self) -> Any:
        return DataLoader(self.data, 4)


class At(L.Callback):
    """Calls something at the start of one batch, counted over the fit."""

    def __init__(self, step: int, action: Any) -> None:
        self.step, self.action, self.seen = step, action, 0

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.seen += 1
        if self.seen == self.step:
            self.action(pl_module)


def gdas(**arguments: Any) -> GdasSearch:
    torch.manual_seed(0)
    skeleton = StagedSkeleton(channels=4, cells_per_stage=1, classes=3, in_channels=1)
    return GdasSearch(NasBench201Space(), skeleton, **arguments)


def darts(nodes: int = 2, **arguments: Any) -> DartsSearch:
    return DartsSearch(DartsSpace(nodes), CellSkeleton(cells=2, channels=4, classes=3, in_channels=1), **arguments)


def fit(search: Any, kwargs: dict[str, Any], *callbacks: L.Callback, data: Any = None, **arguments: Any) -> L.Trainer:
    """A fit of one epoch on `TinyData`, where nothing else is said."""
    trainer = L.Trainer(**(kwargs | {"max_epochs": 1} | arguments), callbacks=list(callbacks))
    trainer.fit(search, datamodule=data or TinyData())
    return trainer


def plant(search: L.LightningModule, operation: str, group: str | None = None) -> None:
    """Make every edge prefer one operation."""
    for name, parameters in search.architecture.items():
        if group in (None, name):
            parameters["alpha"].data.zero_()
            parameters["alpha"].data[:, search.space.groups[name].candidates.index(operation)] = 5.0


@contextmanager
def interrupted() -> Iterator[None]:
    """Expects the exit that Lightning makes of Ctrl-C, and undoes that it ignores the signal from then on."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(SystemExit):
            yield
    finally:
        signal.signal(signal.SIGINT, handler)


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "tensors": 0})
    found.Reload()
    return found
