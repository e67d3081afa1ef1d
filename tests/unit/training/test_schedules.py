"""Schedules: the authors' values, exact resume in the middle of an epoch, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.utils.data import DataLoader

from helpers.small_fits import TinyData, darts, events, gdas
from lightning_nas import NetworkTraining, StagedSkeleton
from lightning_nas.callbacks import DropPathSchedule, TemperatureSchedule
from lightning_nas.execution.reference import DropPath
from lightning_nas.spaces import NasBench201Space


class Recorder(L.Callback):
    """The value that each batch is trained with, by epoch and batch."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], float] = {}

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        drops = {module.probability for module in pl_module.modules() if isinstance(module, DropPath)}
        relaxation = getattr(pl_module, "relaxation", None)
        value = getattr(relaxation, "temperature", None) if relaxation else next(iter(drops))
        assert len(drops) == 1
        self.seen[trainer.current_epoch, batch_idx] = value


class PlainData(TinyData):
    def train_dataloader(self) -> Any:
        return DataLoader(self.data, 4)


def child(**arguments: Any) -> NetworkTraining:
    space = NasBench201Space()
    genotype = space.parse("|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|")
    return NetworkTraining(space, genotype, StagedSkeleton(4, 3, 1, cells_per_stage=1), **arguments)


def test_temperature_is_the_authors() -> None:
    schedule = TemperatureSchedule()
    assert [schedule.value(epoch, 250) for epoch in (0, 249, 300)] == pytest.approx([10.0, 0.1, 0.1])
    assert schedule.value(100, 250) == pytest.approx(10.0 - 9.9 * 100 / 249)
    assert schedule.value(0, 1) == 10.0


def test_drop_path_is_the_authors() -> None:
    schedule = DropPathSchedule(0.2)
    assert [schedule.value(epoch, 600) for epoch in (0, 300, 599)] == pytest.approx([0.0, 0.1, 0.2 * 599 / 600])


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual", "ignore:You're resuming from a checkpoint that")
@pytest.mark.parametrize("kind", ["temperature", "drop_path"])
@pytest.mark.parametrize("checkpoint", ["step=1", "step=2", "step=3"])
def test_resume_is_exact_in_and_between_epochs(
    tmp_path: Path, trainer_kwargs: dict[str, Any], kind: str, checkpoint: str
) -> None:
    def fit(resume: Path | None = None) -> dict[tuple[int, int], float]:
        recorder, save = Recorder(), ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
        schedule = TemperatureSchedule() if kind == "temperature" else DropPathSchedule(0.4)
        arguments = trainer_kwargs | {"enable_checkpointing": True, "max_epochs": 3}
        trainer = L.Trainer(**arguments, callbacks=[schedule, recorder, save])
        model, data = (gdas(), TinyData()) if kind == "temperature" else (child(), PlainData())
        trainer.fit(model, datamodule=data, ckpt_path=resume)
        return recorder.seen

    whole = fit()
    values = [10.0, 5.05, 0.1] if kind == "temperature" else [0.0, 0.4 / 3, 0.8 / 3]
    assert whole == pytest.approx({(epoch, batch): values[epoch] for epoch in range(3) for batch in range(2)})
    resumed = fit(tmp_path / f"{checkpoint}.ckpt")
    assert len(resumed) == 6 - int(checkpoint[-1])
    assert resumed == {at: whole[at] for at in resumed}


def test_logged(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    arguments = trainer_kwargs | {"logger": TensorBoardLogger(tmp_path, "log", 0), "max_epochs": 2}
    L.Trainer(**arguments, callbacks=[TemperatureSchedule(), DropPathSchedule()]).fit(gdas(), datamodule=TinyData())
    found = events(tmp_path / "log" / "version_0")
    assert [event.value for event in found.Scalars("search/temperature")] == pytest.approx([10.0, 0.1])
    assert [event.value for event in found.Scalars("train/drop_path")] == pytest.approx([0.0, 0.1])


def test_horizon_is_its_own_the_modules_or_the_trainers(trainer_kwargs: dict[str, Any]) -> None:
    def first_last(schedule: TemperatureSchedule, **arguments: Any) -> list[float]:
        recorder = Recorder()
        L.Trainer(**trainer_kwargs, max_epochs=2, callbacks=[schedule, recorder]).fit(
            gdas(**arguments), datamodule=TinyData()
        )
        return [recorder.seen[0, 0], recorder.seen[1, 1]]

    assert first_last(TemperatureSchedule()) == pytest.approx([10.0, 0.1])
    assert first_last(TemperatureSchedule(), epochs=4) == pytest.approx([10.0, 6.7])
    assert first_last(TemperatureSchedule(epochs=10), epochs=4) == pytest.approx([10.0, 8.9])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: TemperatureSchedule(start=0.0), r"TemperatureSchedule\(start=0.0\): give a positive number"),
        (lambda: TemperatureSchedule(end=float("nan")), r"TemperatureSchedule\(end=nan\): give a positive number"),
        (lambda: TemperatureSchedule(epochs=0), r"TemperatureSchedule\(epochs=0\): give at least 1, or None"),
        (lambda: DropPathSchedule(1.0), r"DropPathSchedule\(probability=1.0\): give a number in \[0, 1\)"),
        (lambda: DropPathSchedule(-0.1), r"DropPathSchedule\(probability=-0.1\): give a number in \[0, 1\)"),
    ],
)
def test_bad_arguments(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


class Plain(L.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.drop_path, self.layer = DropPath(), nn.Linear(1, 1)

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.layer(batch[0].mean().view(1, 1)).sum()


def test_modules_without_the_part_are_refused(trainer_kwargs: dict[str, Any]) -> None:
    def fit(model: L.LightningModule, callback: L.Callback, **arguments: Any) -> None:
        data = DataLoader(TinyData().data, 4) if isinstance(model, Plain) else TinyData()
        L.Trainer(**(trainer_kwargs | {"max_epochs": 1} | arguments), callbacks=[callback]).fit(model, data)

    with pytest.raises(MisconfigurationException, match=r"DartsSearch has no relaxation with a temperature. Remove"):
        fit(darts(), TemperatureSchedule())
    model = Plain()
    with pytest.raises(MisconfigurationException, match=r"epochs=None\): Plain has no `horizon` to take; set epochs"):
        fit(model, DropPathSchedule())
    model.drop_path = nn.Identity()
    with pytest.raises(MisconfigurationException, match=r"Plain holds no lightning_nas.execution.DropPath. Remove"):
        fit(model, DropPathSchedule(epochs=3))
    with pytest.raises(MisconfigurationException, match=r"max_epochs=-1\) gives the schedules no end"):
        fit(gdas(), TemperatureSchedule(), max_epochs=-1)
