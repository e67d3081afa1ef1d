"""One fit of a chain, from its config to a finished trainer, and from its last checkpoint if there is one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback, ModelCheckpoint, Timer
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_nas.cli import NasCLI
from lightning_nas.config import class_path
from lightning_nas.genotype import Genotype

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
    model.setdefault("class_path", "lightning_nas.training.NetworkTraining")
    model["init_args"] = {"space": space, **(model.get("init_args") or {}), "genotype": genotype.to_dict()}
    if data is not None:
        config.setdefault("data", data)
    if max_epochs is not None:
        config["trainer"] = {**(config.get("trainer") or {}), "max_epochs": max_epochs}
    return config
