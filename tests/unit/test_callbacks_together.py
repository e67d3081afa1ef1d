"""All callbacks in one search; and the tiny searches that the tests of each callback use."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import CombinedLoader
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader, TensorDataset

from lightning_nas import CellSkeleton, DartsSearch, GdasSearch, Genotype, StagedSkeleton
from lightning_nas.callbacks import ArchitectureMonitor, ExtractGenotype, StackCells, TemperatureSchedule
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


def test_all_callbacks_resume_to_the_same_files(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    def fit(folder: str, epochs: int, checkpoint: str | None = None) -> tuple[GdasSearch, list[Any]]:
        callbacks = [
            StackCells(StagedSkeleton(channels=8, classes=3, in_channels=1)),
            ExtractGenotype(),
            ArchitectureMonitor(),
            TemperatureSchedule(),
            ModelCheckpoint(tmp_path / folder, "last"),
        ]
        search = gdas(epochs=4)
        logger = TensorBoardLogger(tmp_path / folder, name="log", version=0)
        arguments = trainer_kwargs | {"logger": logger, "enable_checkpointing": True, "max_epochs": epochs}
        L.Trainer(**arguments, callbacks=callbacks).fit(search, datamodule=TinyData(), ckpt_path=checkpoint)
        return search, callbacks

    whole, (stack, extract, *_) = fit("whole", 4)
    fit("parts", 2)
    resumed, (_, again, *_) = fit("parts", 4, str(tmp_path / "parts" / "last.ckpt"))
    assert resumed.derive() == whole.derive() == Genotype.load(extract.path)
    for name in ("genotype.yaml", "genotype.png"):
        assert (extract.path.parent / name).read_bytes() == (again.path.parent / name).read_bytes()
    assert whole.relaxation.temperature == resumed.relaxation.temperature == pytest.approx(0.1)
    assert stack.path.read_text().count("cells_per_stage") == 1
    files = sorted(file.name for file in again.path.parent.iterdir() if "tfevents" not in file.name)
    # No copies but of the config that the first part wrote at its end, which the user may have edited.
    assert files == ["genotype.png", "genotype.yaml", "hparams.yaml", "retrain.yaml", "retrain.yaml.1"]
    tags = events(extract.path.parent).Tags()
    assert {"genotype", "search/probabilities/cell"} <= set(tags["images"])
    assert {"search/temperature", "search/discretization_gap", "search/count/cell/none"} <= set(tags["scalars"])
    assert tags["scalars"].count("search/entropy/cell") == 1
