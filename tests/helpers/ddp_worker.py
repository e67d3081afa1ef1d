"""One fit on one or two processes, started by test_ddp.py as a script; each rank writes what it ends with."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import nn

from lightning_nas import (
    CellSkeleton,
    DartsSearch,
    Derivation,
    GdasSearch,
    NetworkTraining,
    Norm,
    RandomSharingSearch,
    StagedSkeleton,
)
from lightning_nas.data import Bilevel, Digits, Phased
from lightning_nas.spaces import DartsSpace, NasBench201Space


class RecordingDigits(Digits):
    """Digits that keep the positions of all training images that this rank has seen."""

    def __init__(self, batch_size: int) -> None:
        super().__init__(batch_size=batch_size, validation=0.0)
        self.seen: list[list[int]] = []

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        if self.trainer is not None and self.trainer.training:
            self.seen.append(batch[2].tolist())
        return super().on_after_batch_transfer(batch, dataloader_idx)


class FrozenNorms(L.Callback):
    """Norms that use their (initial) running statistics, so that a batch split in two gives the same function."""

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        for module in pl_module.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def make(case: str, sync: bool) -> L.LightningModule:
    searched = Norm(affine=False, sync=True) if sync else None
    staged = StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1, norm=searched)
    if case == "gdas":
        return GdasSearch(NasBench201Space(), staged)
    if case == "training":
        space = NasBench201Space()  # a cell whose first convolution leads nowhere: no unused parameters all the same
        genotype = space.parse("|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|")
        return NetworkTraining(space, genotype, replace(staged, norm=Norm(sync=True) if sync else None))
    if case == "sharing":
        return RandomSharingSearch(NasBench201Space(), staged, Derivation(10, 1, 0))
    cells = CellSkeleton(cells=2, channels=2, in_channels=1, norm=searched)
    return DartsSearch(DartsSpace(nodes=1), cells, order=int(case[-1]))


def main(case: str, folder: str, devices: str, batch_size: str, norms: str) -> None:
    L.seed_everything(5, verbose=False)
    module, digits = make(case, norms == "shared"), RecordingDigits(int(batch_size))
    data = {"training": digits, "sharing": Phased(digits, weight_steps=12)}.get(case) or Bilevel(digits)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=int(devices),
        max_epochs=1,
        limit_train_batches=1.0 if case == "sharing" else 12,
        limit_val_batches=2,
        num_sanity_val_steps=0,
        callbacks=[FrozenNorms()] if norms == "frozen" else [],
        precision="64-true" if norms == "shared" else "32-true",
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    content = {"state": module.state_dict(), "seen": digits.seen, "world_size": trainer.world_size}
    torch.save(content, Path(folder) / f"rank{trainer.global_rank}.pt")
    if torch.distributed.is_initialized():
        # Lightning leaves gloo's threads to the end of the interpreter, where they now and then abort it.
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
