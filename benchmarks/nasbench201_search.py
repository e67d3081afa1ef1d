"""A search on CIFAR-10 images in the space of NAS-Bench-201, judged epoch by epoch with the benchmark's table.

Each run is a setting and a seed. The cell that would be extracted is looked up after every epoch: its test accuracy
after 200 epochs of training, from a table that no search sees. The figure of a run is that of its last epoch.

    python benchmarks/nasbench201_search.py --table nasbench201.csv.gz --root cifar10 --settings gdas-small
    python benchmarks/nasbench201_search.py --table nasbench201.csv.gz --root cifar10 --settings gdas-paper   # on a GPU

The table is a CSV with the columns `arch` and `cifar10_test_acc_200ep`, such as one makes from the records of
https://github.com/D-X-Y/NATS-Bench; `--root` is CIFAR-10 as images in `train/<class>/` and `test/<class>/`, which
`torchvision.datasets.CIFAR10` downloads. A run that was stopped goes on where its last epoch ended, and one that is
complete is not repeated. Each has a file of its own, so several processes can share the settings and seeds.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
from harness import clock, prepare, where
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from lightning_nas import (
    Adam,
    DartsSearch,
    Derivation,
    EnasSearch,
    GdasSearch,
    Norm,
    RandomSharingSearch,
    Sgd,
    StagedSkeleton,
    WeightSharingSearch,
)
from lightning_nas.callbacks import TemperatureSchedule
from lightning_nas.cli.nas_cli import NasCLI
from lightning_nas.data import Bilevel, ImageFolder, Phased
from lightning_nas.runtime.files import write_atomically
from lightning_nas.search import SupernetSearch
from lightning_nas.spaces import NasBench201Space
from lightning_nas.spaces.nasbench201 import NASBENCH201_CANDIDATES

CONFIGS = Path(__file__).parents[1] / "configs"
CHANCE = {"mean of all cells": 87.06, "median of all cells": 90.75, "best cell": 94.37}


@dataclass(frozen=True)
class Setting:
    """What is searched, and how long.

    Args:
        method: "gdas", "darts", "darts-2" (second order), "enas" or "random-sharing".
        epochs: of the whole search, the warm-up included.
        steps: batches in an epoch.
        size: pixels of the images' sides.
        channels: of the first stage.
        cells: in each of the three stages.
        architecture_lr: rate of Adam.
        warmup: epochs in which the weights alone are trained.
        batch: images of a batch, for the weights and as many for the architecture.
        lr: of the weights, at the start of the cosine.
        inactive_gradient: of GDAS; off gives the operations that were not drawn no gradient through their own weight.
        sampler_steps: of ENAS, in each epoch: paths whose accuracy on a batch teaches the controller.
        tanh_constant: of ENAS, bound of the controller's logits.
        none: whether `none` is among the candidates.
        recipe: file under `configs/` whose search it is, instead of one put together from the above.
    """

    method: str
    epochs: int
    steps: int
    size: int = 16
    channels: int = 8
    cells: int = 1
    architecture_lr: float = 3e-4
    warmup: int = 0
    batch: int = 64
    lr: float = 0.025
    inactive_gradient: bool = True
    sampler_steps: int = 0
    tanh_constant: float = 2.5
    none: bool = True
    recipe: str | None = None

    @property
    def phased(self) -> bool:
        """Whether paths of the supernet are sampled, and one is chosen by its score at the end."""
        return self.method in ("enas", "random-sharing")


SETTINGS = {
    # The authors' recipes, for a GPU.
    "gdas-paper": Setting("gdas", epochs=250, steps=391, size=32, channels=16, cells=5),
    "darts-paper": Setting("darts", epochs=50, steps=391, size=32, channels=16, cells=5),
    # What two CPU cores manage.
    "gdas-small": Setting("gdas", epochs=20, steps=1000, warmup=10, batch=16),
    "gdas-annealed": Setting("gdas", epochs=36, steps=1000, warmup=30, batch=16, lr=0.05),
    "darts-small": Setting("darts", epochs=20, steps=200),
}


class LookUp(Callback):
    """Keeps, for each epoch, the cell and its accuracy in the table."""

    def __init__(self, table: dict[str, float], output: Path, head: dict[str, Any]) -> None:
        self.table, self.output, self.head = table, output, head
        self.epochs: list[dict[str, Any]] = []
        self.seconds, self.began = 0.0, 0.0

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs, self.seconds = state_dict["epochs"], state_dict["seconds"]

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.began = clock()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, SupernetSearch)
        self.seconds += clock() - self.began
        if isinstance(pl_module, WeightSharingSearch) and not pl_module.candidates:
            return  # which path it is will be known after the last epoch
        cell = pl_module.space.format(pl_module.derive())
        loss = float(trainer.callback_metrics["train/loss"])
        self.epochs.append(
            {
                "epoch": trainer.current_epoch,
                "cell": cell,
                "accuracy": self.table[cell],
                "skips": cell.count("skip_connect"),
                "train_loss": round(loss, 4),
            }
        )
        complete = trainer.current_epoch + 1 == trainer.max_epochs
        head = json.dumps(self.head | {"complete": complete, "seconds": round(self.seconds, 1)})
        epochs = ",\n".join(json.dumps(epoch) for epoch in self.epochs)
        write_atomically(self.output, f'{head[:-1]}, "epochs": [\n{epochs}\n]}}\n')
        print(
            f"{self.output.stem} epoch {trainer.current_epoch}: {self.table[cell]:.2f} {cell} loss {loss:.3f}",
            flush=True,
        )


def read_run(path: Path) -> dict[str, Any]:
    """The record of a run as far as it has come; empty if it has not begun."""
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return record


def search(setting: Setting) -> SupernetSearch:
    """The search of a setting; norms use each batch's statistics, as in the benchmark's own searches."""
    if setting.recipe is not None:
        words = ["--config", str(CONFIGS / setting.recipe), "--seed_everything", "false"]
        found = NasCLI(words, run=False).model
        assert isinstance(found, SupernetSearch)
        return found
    space = NasBench201Space(candidates=NASBENCH201_CANDIDATES if setting.none else NASBENCH201_CANDIDATES[1:])
    norm = Norm(affine=False, statistics="batch")
    skeleton = StagedSkeleton(channels=setting.channels, cells_per_stage=setting.cells, norm=norm)
    optimizer = Sgd(lr=setting.lr, lr_min=0.001, weight_decay=5e-4, nesterov=True)
    if setting.method == "enas":
        derivation = Derivation(candidates=100, batches=10, every=0)
        # the bound of all logits is the setting's
        bound: dict[str, Any] = {"tanh_constant": setting.tanh_constant, "op_tanh_reduce": 1.0}
        return EnasSearch(space, skeleton, derivation, optimizer=optimizer, **bound)
    if setting.method == "random-sharing":
        return RandomSharingSearch(space, skeleton, optimizer=optimizer)
    arguments: dict[str, Any] = {
        "optimizer": optimizer,
        "architecture_optimizer": Adam(lr=setting.architecture_lr, betas=(0.5, 0.999), weight_decay=1e-3),
        "warmup_epochs": setting.warmup,
    }
    if setting.method == "gdas":
        return GdasSearch(space, skeleton, inactive_gradient=setting.inactive_gradient, **arguments)
    return DartsSearch(space, skeleton, order=2 if setting.method == "darts-2" else 1, **arguments)


def images(setting: Setting, root: Path) -> L.LightningDataModule:
    """Half of the images for the weights and half for the architecture; a twentieth to choose among paths."""
    validation = 0.05 if setting.phased else 0.0
    whole = ImageFolder(root, setting.batch, setting.size, validation=validation, crop=max(setting.size // 8, 1))
    return Phased(whole, 0.5, setting.sampler_steps, setting.steps) if setting.phased else Bilevel(whole)


def run(name: str, setting: Setting, seed: int, table: dict[str, float], arguments: argparse.Namespace) -> None:
    """One run, from its last finished epoch on."""
    output = arguments.results / f"{name}-{seed}.json"
    if read_run(output).get("complete"):
        return
    L.seed_everything(seed, verbose=False)
    folder = arguments.work / output.stem
    head = {"benchmark": "nasbench201_search", "name": name, "setting": asdict(setting), "seed": seed, **where()}
    callbacks: list[Callback] = [
        LookUp(table, output, head),
        ModelCheckpoint(folder, "epoch", enable_version_counter=False, save_last=True, save_on_train_epoch_end=True),
    ]
    if setting.method == "gdas":
        callbacks.append(TemperatureSchedule(10.0, 0.1))
    # what is sampled must be scored at the end; else nothing is to be validated
    limits: dict[str, Any] = {} if setting.phased else {"limit_train_batches": setting.steps, "limit_val_batches": 0}
    trainer = L.Trainer(
        max_epochs=setting.epochs,
        check_val_every_n_epoch=setting.epochs,
        num_sanity_val_steps=0,
        accelerator="auto",
        devices=1,
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        **limits,
    )
    last = folder / "last.ckpt"
    resumed = last if last.exists() else None
    trainer.fit(search(setting), datamodule=images(setting, arguments.root), ckpt_path=resumed)


def read_table(path: Path, column: str) -> dict[str, float]:
    """A column of the benchmark's table, by cell."""
    with gzip.open(path, "rt", newline="") as file:
        return {row["arch"]: float(row[column]) for row in csv.DictReader(file)}


def summary(results: Path) -> None:
    """Mean and standard deviation over the seeds of each setting that is complete."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in map(read_run, sorted(results.glob("*.json"))):
        if entry["complete"]:
            found.setdefault(entry["name"], []).append(entry)
    print(f"{'setting':24}{'seeds':>6}{'steps':>8}{'s/run':>8}{'last epoch':>16}{'best epoch':>12}{'skips':>7}")
    for name, entries in found.items():
        last = [entry["epochs"][-1]["accuracy"] for entry in entries]
        best = statistics.mean(max(epoch["accuracy"] for epoch in entry["epochs"]) for entry in entries)
        skips = statistics.mean(entry["epochs"][-1]["skips"] for entry in entries)
        steps = entries[0]["setting"]["epochs"] * entries[0]["setting"]["steps"]
        seconds = statistics.mean(entry["seconds"] for entry in entries)
        deviation = statistics.stdev(last) if len(last) > 1 else 0.0
        text = f"{statistics.mean(last):.2f} +- {deviation:.2f}"
        print(f"{name:24}{len(entries):>6}{steps:>8}{seconds:>8.0f}{text:>16}{best:>12.2f}{skips:>7.1f}")
    for name, accuracy in CHANCE.items():
        print(f"{name:24}{'':>22}{accuracy:>16.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="the benchmark's accuracies; without it only the summary is printed")
    parser.add_argument("--root", type=Path, help="CIFAR-10 in class folders")
    parser.add_argument("--settings", nargs="*", default=[], choices=list(SETTINGS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--work", type=Path, default=Path("runs/nasbench201_search"), help="checkpoints")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "nasbench201_search")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    arguments = parser.parse_args()
    prepare(arguments.threads)
    if arguments.table and arguments.root:
        table = read_table(arguments.table, "cifar10_test_acc_200ep")
        for seed in arguments.seeds:
            for name in arguments.settings:
                run(name, SETTINGS[name], seed, table, arguments)
    elif arguments.settings:
        parser.error("--settings needs --table and --root")
    summary(arguments.results)


if __name__ == "__main__":
    main()
