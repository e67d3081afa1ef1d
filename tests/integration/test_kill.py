"""A process that is killed in the middle of an epoch loses nothing that its last checkpoint had."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

pytestmark = pytest.mark.slow
EPOCHS = 4
STAGED = {"class_path": "StagedSkeleton", "init_args": {"channels": 4, "cells_per_stage": 1, "in_channels": 1}}
CELLS = {"class_path": "CellSkeleton", "init_args": {"cells": 2, "channels": 2, "in_channels": 1}}
GDAS = {
    "class_path": "GdasSearch",
    "init_args": {"space": {"class_path": "NasBench201Space"}, "skeleton": STAGED, "epochs": EPOCHS},
}
DARTS = {
    "class_path": "DartsSearch",
    "init_args": {
        "space": {"class_path": "DartsSpace", "init_args": {"nodes": 1}},
        "skeleton": CELLS,
        "order": 2,
        "epochs": EPOCHS,
    },
}
KILLER = """
import os, signal
import lightning as L

class Killer(L.Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if os.environ.get("KILL") == "1" and (trainer.current_epoch, batch_idx) == (2, 1):
            os.kill(os.getpid(), signal.SIGKILL)
"""


def config(model: dict[str, Any], folder: Path) -> Path:
    """A fit config as a user would write it."""
    digits = {"class_path": "Digits", "init_args": {"batch_size": 256}}
    callbacks: list[dict[str, Any]] = [
        {"class_path": "killer.Killer"},
        {"class_path": "ModelCheckpoint", "init_args": {"dirpath": str(folder), "save_last": True}},
    ]
    if model is GDAS:
        callbacks.append({"class_path": "TemperatureSchedule", "init_args": {"epochs": EPOCHS}})
    content = {
        "seed_everything": 11,
        "model": model,
        "data": {"class_path": "Bilevel", "init_args": {"datamodule": digits}},
        "trainer": {
            "max_epochs": EPOCHS,
            "accelerator": "cpu",
            "logger": False,
            "default_root_dir": str(folder),
            "callbacks": callbacks,
            "enable_progress_bar": False,
        },
    }
    folder.mkdir()
    (folder / "killer.py").write_text(KILLER)
    (folder / "config.in.yaml").write_text(yaml.safe_dump(content))
    return folder / "config.in.yaml"


def command(folder: Path, *words: str, kill: bool = False) -> subprocess.CompletedProcess[str]:
    """`python -m lightning_nas ...` in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "KILL": "1" if kill else "0"}
    environment.pop("PL_GLOBAL_SEED", None)
    words = (sys.executable, "-m", "lightning_nas", *words)
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, cwd=folder)


def state(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "last.ckpt", weights_only=True)
    return content


@pytest.mark.parametrize("model", [GDAS, DARTS], ids=["gdas", "darts order 2"])
def test_fit_after_sigkill_equals_unbroken_fit(model: dict[str, Any], tmp_path: Path) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    done = command(unbroken, "fit", "--config", str(config(model, unbroken)))
    assert done.returncode == 0, done.stderr[-2000:]
    file = str(config(model, killed))
    assert command(killed, "fit", "--config", file, kill=True).returncode == -signal.SIGKILL
    assert state(killed)["epoch"] == 1
    done = command(killed, "fit", "--config", file, "--ckpt_path", str(killed / "last.ckpt"))
    assert done.returncode == 0, done.stderr[-2000:]
    expected, found = state(unbroken), state(killed)
    assert found["epoch"] == expected["epoch"] == EPOCHS - 1
    assert found["hyper_parameters"] == expected["hyper_parameters"]
    for key, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][key], value), key
