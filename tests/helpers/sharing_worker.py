"""A search with shared weights on digits to be killed, resumed, or to be one of two ranks."""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lightning_nas import (
    Adam,
    Derivation,
    LstmController,
    RegularizedEvolution,
    Sgd,
    StagedSkeleton,
    UniformSampler,
    WeightSharingSearch,
)
from lightning_nas.data import Digits, Phased
from lightning_nas.spaces import NasBench201Space


class KillAfter(L.Callback):
    """SIGKILL one batch after a checkpoint was written, so that there is something to lose."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step > self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def search(case: str) -> WeightSharingSearch:
    space, skeleton = NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)
    if case == "controller":
        controller = LstmController(space, hidden=8, layers=1, optimizer=Adam(0.05, (0.9, 0.999), 0.0))
        return WeightSharingSearch(
            controller, skeleton, Derivation(6, 2, round_size=3), optimizer=Sgd(0.05), round_size=3
        )
    evolution = RegularizedEvolution(space, population=4, sample=2)
    derivation = Derivation(6, 2, 0, "recalibrated", 3, evolution, round_size=2)
    return WeightSharingSearch(UniformSampler(space), skeleton, derivation, optimizer=Sgd(0.05))


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("case", choices=("controller", "evolution"))
    parser.add_argument("--devices", type=int, default=1)
    parser.add_argument("--kill", type=int)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args(words)
    L.seed_everything(7, verbose=False)
    module = search(arguments.case)
    steps = 7 if arguments.case == "controller" else 0
    data = Phased(Digits(batch_size=32, validation=0.1, crop=1), 0.5, weight_steps=6, sampler_steps=steps)
    every = arguments.kill or 1000
    checkpoint = ModelCheckpoint(arguments.folder, "step", every_n_train_steps=every, enable_version_counter=False)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=arguments.devices,
        max_epochs=3,
        callbacks=[checkpoint, *([KillAfter(arguments.kill)] if arguments.kill else [])],
        default_root_dir=arguments.folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data, ckpt_path=arguments.folder / "step.ckpt" if arguments.resume else None)
    candidates = [(str(trial.genotype), trial.reward) for trial in module.candidates]
    content = {"state": module.state_dict(), "candidates": candidates, "global_step": trainer.global_step}
    torch.save({**content, "world_size": trainer.world_size}, arguments.folder / f"rank{trainer.global_rank}.pt")
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
