"""Seconds of an epoch of NAS-Bench-201's training on this machine: measured for five cells, a straight line for others.

Five cells that span the benchmark's range of MACs are trained as the benchmark trains them (16 channels, five cells a
stage, 32x32 images) for some batches, in turn, and the median batch is extrapolated to the 25,000 images of an epoch. A
straight line through the five points gives the seconds of any other cell.

    python benchmarks/epoch_seconds.py --root cifar10 --threads 1 --output seconds.json

`--root` is CIFAR-10 as images in `train/<class>/` and `test/<class>/`.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import lightning as L
import torch
from harness import clock, prepare, record
from lightning.pytorch.callbacks import Callback

from lightning_nas import NetworkTraining, Sgd, StagedSkeleton
from lightning_nas.data import ImageFolder
from lightning_nas.spaces import NasBench201Space

SPACE = NasBench201Space()
IMAGES = 25_000
# MACs of a network in millions, as the benchmark counts them: a constant, and more for each convolution
MACS = {"constant": 7.78305, "nor_conv_3x3": 35.38944, "nor_conv_1x1": 3.93216}
CELLS = (
    "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|avg_pool_3x3~0|none~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_1x1~0|skip_connect~1|nor_conv_3x3~2|",
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
)


def macs(cell: str) -> float:
    """Millions of multiply-accumulates of the benchmark's network for one image."""
    convolutions = ("nor_conv_3x3", "nor_conv_1x1")
    return MACS["constant"] + sum(MACS[name] * cell.count(name) for name in convolutions)


class Steps(Callback):
    """Seconds from the end of one training batch to that of the next."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(clock())

    @property
    def seconds(self) -> list[float]:
        """Without the first batch, which waits for what is set up once."""
        return [end - begin for begin, end in zip(self.ends[:-1], self.ends[1:], strict=True)]


def steps(cell: str, images: ImageFolder, batches: int) -> list[float]:
    """Seconds of some training steps, data included."""
    network = NetworkTraining(SPACE, SPACE.parse(cell), StagedSkeleton(), None, Sgd(lr=0.1, nesterov=True))
    timed = Steps()
    trainer = L.Trainer(
        max_epochs=1,
        limit_train_batches=batches + 1,
        limit_val_batches=0,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[timed],
    )
    trainer.fit(network, datamodule=images)
    return timed.seconds


def line(points: dict[float, float]) -> tuple[float, float, float]:
    """Intercept, slope and R^2 of the least squares line of seconds over MACs."""
    x, y = list(points), list(points.values())
    slope, intercept = statistics.linear_regression(x, y)
    return intercept, slope, statistics.correlation(x, y) ** 2


def measure(root: Path, batch: int, batches: int, rounds: int) -> dict[str, Any]:
    """Seconds of an epoch of the five cells, interleaved, and their line."""
    images = ImageFolder(root, batch, validation=0.0)
    seconds: dict[str, list[float]] = {cell: [] for cell in CELLS}
    for number in range(rounds):
        for cell, found in seconds.items():
            L.seed_everything(number, verbose=False)
            found += steps(cell, images, batches)
    medians = {macs(cell): IMAGES / batch * statistics.median(found) for cell, found in seconds.items()}
    intercept, slope, r2 = line(medians)
    print(f"{'MACs, millions':>16}{'s/epoch':>10}{'line':>10}")
    for (size, measured), cell in zip(medians.items(), CELLS, strict=True):
        print(f"{size:>16.1f}{measured:>10.1f}{intercept + slope * size:>10.1f}  {cell}")
    print(f"seconds of an epoch = {intercept:.2f} + {slope:.4f} * MACs in millions, R^2 {r2:.4f}", flush=True)
    return {"intercept": intercept, "slope": slope, "r2": r2, "epochs": medians, "steps": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="CIFAR-10 in class folders")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=3, help="in a round, after one that is not counted")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    arguments = parser.parse_args()
    prepare(arguments.threads)
    found = measure(arguments.root, arguments.batch, arguments.batches, arguments.rounds)
    settings = {name: getattr(arguments, name) for name in ("batch", "batches", "rounds")}
    record("epoch_seconds", found, settings | {"seeds": list(range(arguments.rounds))}, arguments.output)


if __name__ == "__main__":
    main()
