"""DARTS and GDAS with a target for the parameters: how large the networks are that they find, and how good.

On CIFAR-10 images they search in the space of NAS-Bench-201, and a network's accuracy is that of the benchmark's table,
which no search sees. On digits they search in the DARTS space, and the accuracy is that of a small network of the cells
found, trained shortly. Sizes are those of the final network: the benchmark's, and 20 cells of 36 channels. Targets are
the sizes that 25 % and 75 % of random cells stay below; without a target there is the search alone. `expectation`
compares the expected cost itself with the target, where the default compares that of the network extracted now.

    python benchmarks/size_target.py --table nasbench201.csv.gz --root cifar10

The table is a CSV with the columns `arch` and `cifar10_test_acc_200ep`, such as one makes from the records of
https://github.com/D-X-Y/NATS-Bench; `--root` is CIFAR-10 as images in `train/<class>/` and `test/<class>/`. A run that
is complete is not repeated; each has a file of its own.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
import time
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import torch
from harness import prepare, where

from lightning_nas import (
    Adam,
    Budget,
    CellSkeleton,
    DartsSearch,
    DifferentiableSearch,
    ExpectedCost,
    GdasSearch,
    Genotype,
    NetworkTraining,
    Norm,
    Parameters,
    Sgd,
    Skeleton,
    StagedSkeleton,
    SupernetSpace,
)
from lightning_nas.callbacks import TemperatureSchedule
from lightning_nas.data import Bilevel, Digits, ImageFolder
from lightning_nas.runtime.files import write_atomically
from lightning_nas.spaces import DartsSpace, NasBench201Space

TARGETS = {"none": None, "small": 0.25, "large": 0.75}
VARIANTS = [f"{method}-{target}" for method in ("darts", "gdas") for target in TARGETS] + [
    "darts-small-expectation",
    "gdas-small-expectation",
]
EPOCHS, RANDOM_CELLS, RETRAIN_EPOCHS = 5, 1000, 6
STEPS = {"cifar10": 60, "digits": 30}
SPACES: dict[str, SupernetSpace] = {"cifar10": NasBench201Space(), "digits": DartsSpace()}
SEARCHED: dict[str, Skeleton] = {
    "cifar10": StagedSkeleton(channels=4, cells_per_stage=1, norm=Norm(affine=False, statistics="batch")),
    "digits": CellSkeleton(cells=2, channels=4, in_channels=1),
}
FINAL: dict[str, Skeleton] = {"cifar10": StagedSkeleton(), "digits": CellSkeleton(cells=20, channels=36)}


@cache
def random_sizes(data: str) -> tuple[float, ...]:
    """Parameters of the final networks of random cells, in order."""
    space, cost, source = SPACES[data], Parameters(), torch.Generator().manual_seed(0)
    terms = cost.terms(space, FINAL[data])
    return tuple(sorted(terms.total(space.selection(space.sample(source))) for _ in range(RANDOM_CELLS)))


def trainer(epochs: int, steps: int | float, folder: Path, callbacks: list[L.Callback]) -> L.Trainer:
    return L.Trainer(
        max_epochs=epochs,
        limit_train_batches=steps,
        limit_val_batches=0,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )


class Sizes(L.Callback):
    """Keeps the size of the network that would be extracted, epoch by epoch."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, DifferentiableSearch)
        entry = {"params": pl_module.costing.figure("params", pl_module.derive())}
        if pl_module.cost_loss is not None:
            with torch.no_grad():
                entry["expected"] = float(pl_module.cost_loss.expectation(pl_module.probabilities()))
        self.epochs.append(entry)


def search(data: str, variant: str) -> DifferentiableSearch:
    """The search of a variant."""
    method, name, *soft = variant.split("-")
    share, sizes = TARGETS[name], random_sizes(data)
    target = None if share is None else sizes[int(share * len(sizes))]
    expected = None if target is None else ExpectedCost(Parameters(), target, straight_through=not soft)
    cls = DartsSearch if method == "darts" else GdasSearch
    return cls(
        SPACES[data],
        SEARCHED[data],
        optimizer=Sgd(lr=0.025, lr_min=0.001, weight_decay=5e-4, nesterov=True),
        architecture_optimizer=Adam(lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
        budget=Budget([Parameters()], FINAL[data]),
        expected_cost=expected,
    )


def retrained(genotype: Genotype, folder: Path) -> float:
    """Test accuracy in percent of a small network on digits, after a short training."""
    skeleton = CellSkeleton(cells=3, channels=8, in_channels=1)
    child, data = NetworkTraining(SPACES["digits"], genotype, skeleton), Digits(batch_size=64, validation=0.0)
    fit = trainer(RETRAIN_EPOCHS, 1.0, folder, [])
    fit.fit(child, datamodule=data)
    (metrics,) = fit.test(child, datamodule=data, verbose=False)
    return 100 * metrics["test/accuracy"]


def run(data: str, variant: str, seed: int, table: dict[str, float], arguments: argparse.Namespace) -> None:
    """One search and what it found, unless there is a record of it."""
    output = arguments.results / f"{data}-{variant}-{seed}.json"
    if output.exists():
        return
    begin = time.perf_counter()
    L.seed_everything(seed, verbose=False)
    module, sizes = search(data, variant), Sizes()
    callbacks = [sizes, *([TemperatureSchedule(10.0, 0.1)] if variant.startswith("gdas") else [])]
    images = ImageFolder(arguments.root, 16, 16, validation=0.0, crop=2) if data == "cifar10" else Digits(batch_size=32)
    trainer(EPOCHS, STEPS[data], arguments.work, callbacks).fit(module, datamodule=Bilevel(images))
    found = module.derive()
    accuracy = table[module.space.format(found)] if data == "cifar10" else retrained(found, arguments.work)
    content = {
        "benchmark": "size_target",
        "data": data,
        "variant": variant,
        "seed": seed,
        **where(),
        "target": None if module.expected_cost is None else module.expected_cost.target,
        "params": module.costing.figure("params", found),
        "accuracy": round(accuracy, 2),
        "seconds": round(time.perf_counter() - begin, 1),
        "cell": module.space.format(found),
        "epochs": sizes.epochs,
    }
    write_atomically(output, json.dumps(content, indent=1) + "\n")
    print(f"{output.stem}: {content['params']:,.0f} of {content['target']}, {accuracy:.2f}", flush=True)


def summary(results: Path) -> None:
    """For each variant the target, what was found, and its accuracy."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in sorted(results.glob("*.json")):
        entry = json.loads(path.read_text())
        found.setdefault((entry["data"], entry["variant"]), []).append(entry)
    print(f"{'data':9}{'search':26}{'target':>11}{'found (mean)':>14}{'shares of the target':>34}{'accuracy':>16}")
    for (data, variant), entries in found.items():
        sizes = [entry["params"] for entry in entries]
        target = entries[0]["target"]
        unit = target or statistics.median(random_sizes(data))
        shares = ", ".join(f"{size / unit:.2f}" for size in sizes) + ("" if target else " of the median")
        accuracies = [entry["accuracy"] for entry in entries]
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        text, aim = f"{statistics.mean(accuracies):.2f} +- {spread:.2f}", f"{target:,.0f}" if target else "none"
        print(f"{data:9}{variant:26}{aim:>11}{statistics.mean(sizes):>14,.0f}{shares:>34}{text:>16}")
    for data in SPACES:
        sizes = random_sizes(data)
        quarters = ", ".join(f"{sizes[int(q * len(sizes))]:,.0f}" for q in (0.0, 0.25, 0.5, 0.75, 0.999))
        print(f"{data:9}random cells: least, quarters and most of {len(sizes)}: {quarters}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="the benchmark's accuracies; without it only the summary is printed")
    parser.add_argument("--root", type=Path, help="CIFAR-10 in class folders")
    parser.add_argument("--variants", nargs="*", default=VARIANTS, choices=VARIANTS)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("runs/size_target"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "size_target")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    arguments = parser.parse_args()
    prepare(arguments.threads)
    if arguments.table and arguments.root:
        with gzip.open(arguments.table, "rt") as file:
            table = {row["arch"]: float(row["cifar10_test_acc_200ep"]) for row in csv.DictReader(file)}
        for seed in arguments.seeds:
            for data in SPACES:
                for variant in arguments.variants:
                    run(data, variant, seed, table, arguments)
    summary(arguments.results)


if __name__ == "__main__":
    main()
