"""Configurations that are parsed and constructed, each file once in a process."""

from __future__ import annotations

import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.cli import LightningCLI

from lightning_nas import MultiTrialSearch, NetworkTraining, SearchModule
from lightning_nas.cli.nas_cli import NasCLI
from lightning_nas.runtime.seeding import generator

ROOT = Path(__file__).parents[2]
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.yaml"))
# Lightning's command line uses parts of jsonargparse that the next major version drops.
PARSING = [
    pytest.mark.filterwarnings(r"ignore:\s*By default only one JsonargparseDeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:[\s\S]*was deprecated in v4.49.0"),
]


def is_chain(file: str) -> bool:
    return "search" in yaml.safe_load((ROOT / file).read_text())


def construct(config: Any) -> NasCLI:
    """Model on the meta device, data module and trainer."""
    with torch.device("meta"):
        cli = NasCLI(config, run=False)
    assert all(parameter.is_meta for parameter in cli.model.parameters())
    return cli


@cache
def constructed(file: str) -> NasCLI:
    """What a file under the root describes, made in a folder without data. Tests only look at it."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder, "configs").symlink_to(ROOT / "configs")
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["lightning-nas"])
        return construct(["--config", file])


def check(cli: NasCLI) -> None:
    """The data fits the network, as far as it can be told without files; a search ends in a network that fits too."""
    model, data = cli.model, cli.datamodule
    if isinstance(model, MultiTrialSearch):  # the children's data
        assert data is None
        data = model.evaluator.datamodule
    assert isinstance(model, (SearchModule, NetworkTraining))
    if type(getattr(data, "datamodule", data)).__name__ != "ImageFolder":
        assert data.classes == model.skeleton.classes
        assert data.shape[0] == model.skeleton.in_channels
        assert min(data.shape[1:]) >= model.skeleton.minimum_size
    assert cli.trainer.max_epochs >= 1
    assert str(cli.trainer.default_root_dir).startswith("runs")
    for callback in cli.trainer.callbacks:
        if type(callback).__name__ == "StackCells":
            genotype = model.space.sample(generator(0, "test"))
            with torch.device("meta"):
                model.space.build(genotype, callback.skeleton)


def parse(path: Path) -> LightningCLI:
    """A config as Lightning's own command line reads it."""
    words = ["fit", "--config", str(path), "--trainer.logger", "false", "--trainer.accelerator", "cpu"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", words)
        return LightningCLI(
            L.LightningModule,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            run=False,
            save_config_callback=None,
        )
