"""The stages of a chain: their fits, their state on disk, and the table at the end."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.cli.nas_cli import NasCLI
from lightning_nas.config import class_path
from lightning_nas.runtime.files import write_atomically
from lightning_nas.training.network import NetworkTraining

Config = dict[str, Any]


class ChainCheckpoint(ModelCheckpoint):
    """What a killed chain goes on from; a class of its own, so that a config may have its ModelCheckpoint besides."""


def stage_cli(config: Config, folder: Path, seed: int, callbacks: Sequence[Callback] = ()) -> NasCLI:
    """Model, data and trainer of a fit config, everything it writes below `folder`.

    Args:
        config: what `lightning-nas fit --config` takes.
        folder: of the stage.
        seed: of the stage.
        callbacks: to add to those of the config.
    """
    config = copy.deepcopy(config)
    trainer = config["trainer"] = dict(config.get("trainer") or {})
    if trainer.get("logger") in (None, True):
        init_args: Config = {"save_dir": str(folder), "name": "", "version": ""}
        trainer["logger"] = {"class_path": class_path(TensorBoardLogger), "init_args": init_args}
    trainer.setdefault("default_root_dir", str(folder))
    trainer.setdefault("log_every_n_steps", 10)
    config["seed_everything"] = seed
    checkpoint = ChainCheckpoint(folder / "checkpoints", save_last=True)
    return NasCLI(config, run=False, trainer_defaults={"callbacks": [*callbacks, Timer(), checkpoint]})


def fit(cli: NasCLI, folder: Path) -> float:
    """Fit, from the last checkpoint if there is one; the seconds of training over all attempts.

    The stage is not run again if its last epoch is done.
    """
    last = folder / "checkpoints" / "last.ckpt"
    cli.trainer.fit(cli.model, cli.datamodule, ckpt_path=str(last) if last.is_file() else None)
    timer = next(callback for callback in cli.trainer.callbacks if isinstance(callback, Timer))  # type: ignore[attr-defined]
    return timer.time_elapsed("train")


def training_config(
    config: Config, space: Config, genotype: Genotype, max_epochs: int | None = None, data: Config | None = None
) -> Config:
    """A fit config of NetworkTraining with its space and genotype filled in.

    Args:
        config: the fit config, whose model lacks the genotype.
        space: config of the space that was searched.
        genotype: the architecture to train.
        max_epochs: replaces the trainer's.
        data: config of the data module, where the fit config has none.
    """
    config = copy.deepcopy(config)
    model = config["model"] = dict(config.get("model") or {})
    model.setdefault("class_path", class_path(NetworkTraining))
    model["init_args"] = {"space": space, **(model.get("init_args") or {}), "genotype": genotype.to_dict()}
    if data is not None:
        config.setdefault("data", data)
    if max_epochs is not None:
        config["trainer"] = {**(config.get("trainer") or {}), "max_epochs": max_epochs}
    return config


class ChainState:
    """Results of the stages that are done.

    Args:
        folder: the chain's output folder; the file is `state.json` in it.
        settings: all settings of the chain; a file of other settings is refused.

    Raises:
        ValueError: the folder holds a chain with other settings, or the file cannot be read.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._path = folder / "state.json"
        self._fingerprint = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()
        self._stages: dict[str, dict[str, Any]] = {}
        if self._path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            content = json.loads(self._path.read_text())
            fingerprint, self._stages = content["settings"], dict(content["stages"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._path} cannot be read ({error}): delete the folder to start again.") from error
        if fingerprint != self._fingerprint:
            raise ValueError(
                f"output={str(self._path.parent)!r} holds a run with other settings. "
                "Give another output, or delete the folder to start again."
            )

    def result(self, stage: str) -> dict[str, Any] | None:
        """What a stage has given; None if it is not done."""
        return self._stages.get(stage)

    def finish(self, stage: str, result: dict[str, Any]) -> dict[str, Any]:
        """Keep the result of a stage, and the file on rank zero."""
        self._stages[stage] = result
        self._write()
        return result

    @rank_zero_only
    def _write(self) -> None:
        content = {"settings": self._fingerprint, "stages": self._stages}
        write_atomically(self._path, json.dumps(content, indent=2))


def accuracy_range(accuracies: Sequence[float]) -> str:
    """Mean and range in percent.

    Example:
        >>> accuracy_range([0.9, 0.8])
        'mean 85.0 %, from 80.0 to 90.0 (2 cells)'
    """
    mean, low, high = (100 * value for value in (sum(accuracies) / len(accuracies), min(accuracies), max(accuracies)))
    return f"mean {mean:.1f} %, from {low:.1f} to {high:.1f} ({len(accuracies)} cells)"


@rank_zero_only
def print_report(summary: dict[str, Any], output: Path) -> None:
    """Print what was found, what it cost, and where the files lie."""
    table = Table(title="Search finished", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("cell found", summary["cell"])
    table.add_row("parameters", f"{summary['parameters']:,}")
    table.add_row("search", f"{summary['search_seconds']:.0f} s")
    table.add_row("training", f"{summary['training_seconds']:.0f} s")
    table.add_row(f"test {summary['metric']}", f"{100 * summary['test']:.1f} %")
    if summary["random"]:
        table.add_row("random cells, trained the same way", accuracy_range(summary["random"]))
    for label, path in summary["files"].items():
        table.add_row(label, path)
    table.add_row("everything", str(output))
    Console().print(table)
