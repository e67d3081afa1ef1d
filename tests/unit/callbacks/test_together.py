"""All callbacks in one search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from helpers.small_fits import TinyData, events, gdas
from lightning_nas import GdasSearch, Genotype, StagedSkeleton
from lightning_nas.callbacks import ArchitectureMonitor, ExtractGenotype, StackCells, TemperatureSchedule


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
