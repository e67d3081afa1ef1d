"""A run that is stopped and resumed equals the unbroken run, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_nas import (
    Budget,
    CellSkeleton,
    DartsSearch,
    DifferentiableSearch,
    ExpectedCost,
    GdasSearch,
    NetworkTraining,
    Parameters,
    StagedSkeleton,
)
from lightning_nas.callbacks import DropPathSchedule, TemperatureSchedule
from lightning_nas.data import Bilevel, Digits
from lightning_nas.spaces import DartsSpace, NasBench201Space, published

pytestmark = pytest.mark.slow

EPOCHS = 3


def darts(order: int) -> DartsSearch:
    skeleton = CellSkeleton(cells=2, channels=2, in_channels=1)
    return DartsSearch(DartsSpace(nodes=1), skeleton, order=order, epochs=EPOCHS)


def gdas() -> GdasSearch:
    return GdasSearch(NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1), epochs=EPOCHS)


def budgeted(method: type[DartsSearch] | type[GdasSearch]) -> DifferentiableSearch:
    skeleton = StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)
    expected = ExpectedCost(Parameters(), target=10_000.0)
    budget = Budget(skeleton=skeleton, max_params=9_000)
    return method(NasBench201Space(), skeleton, epochs=EPOCHS, budget=budget, expected_cost=expected)


def training() -> NetworkTraining:
    space, genotype = published("DARTS_V2")
    return NetworkTraining(space, genotype, CellSkeleton(cells=2, channels=2, in_channels=1), epochs=EPOCHS)


CASES: dict[str, tuple[Callable[[], L.LightningModule], bool, Callable[[], list[L.Callback]]]] = {
    "darts order 1": (lambda: darts(1), True, list),
    "darts order 2": (lambda: darts(2), True, list),
    "gdas": (gdas, True, lambda: [TemperatureSchedule(10, 0.1, epochs=EPOCHS)]),
    "darts budget": (lambda: budgeted(DartsSearch), True, list),
    "gdas budget": (lambda: budgeted(GdasSearch), True, lambda: [TemperatureSchedule(10, 0.1, epochs=EPOCHS)]),
    "training": (training, False, lambda: [DropPathSchedule(0.2, epochs=EPOCHS)]),
}


def fit(case: str, epochs: int, folder: Path, resume: Path | None = None) -> dict[str, Any]:
    """The last checkpoint of a run of `epochs`."""
    make, bilevel, callbacks = CASES[case]
    L.seed_everything(3, verbose=False)
    module = make()
    digits = Digits(batch_size=256, flip=True, crop=1)
    checkpoint = ModelCheckpoint(folder, save_last=True)
    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        callbacks=[*callbacks(), checkpoint],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=Bilevel(digits) if bilevel else digits, ckpt_path=resume)
    content: dict[str, Any] = torch.load(folder / "last.ckpt", weights_only=True)
    return content


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_resumed_run_equals_unbroken_run(case: str, tmp_path: Path) -> None:
    unbroken = fit(case, EPOCHS, tmp_path / "unbroken")
    half = fit(case, EPOCHS // 2, tmp_path / "stopped")
    assert any(not torch.equal(half["state_dict"][k], v) for k, v in unbroken["state_dict"].items()), "nothing moved"
    resumed = fit(case, EPOCHS, tmp_path / "stopped", tmp_path / "stopped" / "last.ckpt")
    for key, value in unbroken["state_dict"].items():
        assert torch.equal(resumed["state_dict"][key], value), key
    assert resumed["global_step"] == unbroken["global_step"]
    for mine, theirs in zip(resumed["optimizer_states"], unbroken["optimizer_states"], strict=True):
        assert str(mine["param_groups"]) == str(theirs["param_groups"])
        for index, state in theirs["state"].items():
            for name, value in state.items():
                assert torch.equal(torch.as_tensor(mine["state"][index][name]), torch.as_tensor(value)), name
