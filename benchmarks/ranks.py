"""Images per second on one and on several ranks: DARTS (first order), GDAS and final training, as real fits.

Each fit is a process of its own, with as many ranks as it says: GPUs if there are any, else processes on the CPU with
one thread each, which talk by gloo. Beside them, on a CPU, stands one process with as many threads. A rank has the same
batch size whatever their number, as in weak scaling, and norms of its own or, with `sync`, shared ones. Images are
random, so that nothing is read. The first steps are left out; images per second are those of all ranks, and of both
halves of a search.

    python benchmarks/ranks.py                     # seven minutes on two cores
    python benchmarks/ranks.py --ranks 1 2 4 --channels 16 --cells 8 --batch 64
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from harness import prepare, processor, record

from lightning_nas import CellSkeleton, DartsSearch, GdasSearch, NetworkTraining, Norm
from lightning_nas.spaces import DartsSpace, published
from lightning_nas.testing import BoringData

LEFT_OUT = 2
"""Intervals between the ends of steps, at the start of a fit."""
CASES = ("darts first order", "gdas", "training")


class Clock(L.Callback):
    """Times of the ends of all steps."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        if pl_module.device.type == "cuda":
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())


def make(case: str, settings: argparse.Namespace) -> tuple[L.LightningModule, BoringData]:
    """The module, and as many random images as the fit takes."""
    norm = Norm(affine=case == "training", sync=True) if settings.sync else None
    sizes = {"cells": settings.cells, "channels": settings.channels, "norm": norm}
    skeleton = CellSkeleton(**sizes, auxiliary=case == "training")
    module: L.LightningModule
    if case == "training":
        module = NetworkTraining(*published("DARTS_V2"), skeleton)
    else:
        search = DartsSearch if case.startswith("darts") else GdasSearch
        module = search(DartsSpace(), skeleton)
    shape, batches = (3, settings.size, settings.size), settings.steps * settings.ranks[0]
    return module, BoringData(10, shape, settings.batch, batches, bilevel=case != "training")


def fit(case: str, settings: argparse.Namespace) -> None:
    """What a child process does: one fit; its first rank prints the seconds of its steps as the last line."""
    L.seed_everything(0, verbose=False)
    module, data = make(case, settings)
    clock = Clock()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=settings.ranks[0],
        max_epochs=1,
        limit_val_batches=0,
        callbacks=[clock],
        **quiet,
    )
    trainer.fit(module, datamodule=data)
    # A step ends with a message to all ranks, so any rank has the pace of the slowest.
    if trainer.global_rank == 0:
        print(json.dumps([b - a for a, b in zip(clock.ends, clock.ends[1:], strict=False)]), flush=True)
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


class Side(NamedTuple):
    """What is compared: so many ranks, threads of each, and whether their norms share statistics."""

    ranks: int
    threads: int
    sync: bool

    def __str__(self) -> str:
        text = f"{self.ranks} rank{'s' * (self.ranks > 1)}"
        return text + (", sync" if self.sync else "") + (f", {self.threads} threads" if self.threads > 1 else "")


def sides(ranks: Sequence[int]) -> list[Side]:
    """All of them, the one that the others are compared with first."""
    found = [Side(number, 1, sync) for number in ranks for sync in (False, True)[: 1 + (number > 1)]]
    more = [] if torch.cuda.is_available() else [Side(1, number, False) for number in ranks if number > 1]
    return found + more


def seconds_of(case: str, side: Side, settings: argparse.Namespace) -> list[float]:
    """Seconds of each step of a fit, without the first steps."""
    sizes = [w for n in ("batch", "size", "cells", "channels", "steps") for w in (f"--{n}", str(getattr(settings, n)))]
    words = [sys.executable, __file__, "--ranks", str(side.ranks), *sizes, "--cases", case, "--fit"]
    words += ["--sync"] if side.sync else []
    environment = {**os.environ, "OMP_NUM_THREADS": str(side.threads)}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    steps: list[float] = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("[")))
    return steps[LEFT_OUT:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--batch", type=int, default=16, help="images of a rank in a step, in each half of a search")
    parser.add_argument("--size", type=int, default=32, help="pixels of the images' sides")
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--steps", type=int, default=8, help="steps of a fit, of which the first are left out")
    parser.add_argument("--rounds", type=int, default=2, help="fits of each kind, taken in turn")
    for name in ("--fit", "--sync"):
        parser.add_argument(name, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    settings = parser.parse_args()
    prepare()
    if settings.fit:
        fit(settings.cases[0], settings)
        return
    print(f"{processor()}\n{'case':18}{'side':>20}{'s a step':>10}{'images/s':>10}{'of the first':>13}")
    results: dict[str, Any] = {}
    for case in settings.cases:
        seconds: dict[Side, list[float]] = {side: [] for side in sides(settings.ranks)}
        for _ in range(settings.rounds):
            for side in seconds:
                seconds[side] += seconds_of(case, side, settings)
        halves, first = 1 if case == "training" else 2, 0.0
        for side, found in seconds.items():
            median = statistics.median(found)
            rate = halves * side.ranks * settings.batch / median
            first = first or rate
            print(f"{case:18}{side!s:>20}{median:>10.3f}{rate:>10.1f}{rate / first:>13.2f}", flush=True)
            results[f"{case}, {side}"] = {"seconds": found, "images_per_second": rate}
    del settings.fit, settings.sync
    record("ranks", results, {k: v for k, v in vars(settings).items() if k != "output"}, settings.output)


if __name__ == "__main__":
    main()
