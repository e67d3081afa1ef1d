"""Tiny configs, a callback that kills its process, and the command line in a process of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from helpers.forks import environment

EPOCHS = 3
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
        mark = os.path.join(trainer.default_root_dir, "killed")
        if os.environ.get("KILL") == "1" and not os.path.exists(mark) and (trainer.current_epoch, batch_idx) == (1, 1):
            open(mark, "w").close()
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


def command(
    run: Callable[..., subprocess.CompletedProcess[str]], folder: Path, *words: str, kill: bool = False
) -> subprocess.CompletedProcess[str]:
    """`python -m lightning_nas ...` in a process of its own.

    Args:
        run: `Forks.run`, or `interpreter`.
        folder: where it runs and finds `killer.py`.
        words: of the command.
        kill: whether the callback kills the process, which it does once a fit.
    """
    return run(["-m", "lightning_nas", *words], folder, environment(folder, KILL="1" if kill else "0"))
