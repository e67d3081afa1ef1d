"""The ladder: what each idea saves, from children that are trained in full to a differentiable sample of paths.

Every rung searches NAS-Bench-201's space on CIFAR-10 and is judged by the true test accuracy, after 200 epochs, of the
one cell that it finds, from a table that no search with images sees. Costs are seconds of this machine:

- *converted*: children of `rl-200`, `rl-12` and of random search, the control, are looked up in the table. Their epochs
  are converted by the seconds that five cells take here (`epoch_seconds.py`), a straight line over MACs. Every child
  counts, also one that was proposed before.
- *measured*: all others train here: children with inherited weights (`rl-inherited`), their control of random children
  trained anew (`random-small`), and shared weights, all with one supernet and as many steps of its weights.

The training of the cell that was found is no part of the cost. With one thread on a CPU, seconds are those that this
process computes, whatever runs beside it; with more threads or on a GPU those that pass.

    python benchmarks/ladder.py --table nasbench201.csv.gz --root cifar10 --threads 1    # an hour of one core
    python benchmarks/ladder.py --table nasbench201.csv.gz --root cifar10 --setting full    # on a GPU, days
    python benchmarks/ladder.py                          # the table and the picture of the results that are kept

A run that is complete is not repeated, one that was stopped goes on after its last epoch or child, and each has a file
of its own. All rungs of one seed come before the next seed. Table and images are as in `nasbench201_search.py`; the
table needs the columns of `nasbench201_table.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import epoch_seconds
import lightning as L
import nasbench201_search
import nasbench201_table
from children import fitted
from harness import clock, prepare, where
from ladder_summary import draw, summarize, summarize_rewards
from nasbench201_search import Setting, read_run, read_table

from lightning_nas import (
    Fidelity,
    FitEvaluator,
    MultiTrialSearch,
    Sgd,
    StagedSkeleton,
    TableEvaluator,
    Trial,
    WeightStore,
)
from lightning_nas.data import ImageFolder
from lightning_nas.evaluators import Job
from lightning_nas.runtime.files import write_atomically
from lightning_nas.spaces import NasBench201Space
from lightning_nas.trials.trial import Evaluation

SPACE = NasBench201Space()
TEST = "cifar10_test_acc_200ep"
RESULTS = Path(__file__).parent / "results" / "ladder"


@dataclass(frozen=True)
class LookedUp:
    """Children from the table: the controller, and the epochs after which they are rewarded."""

    sampler: str
    epochs: int
    trials: int = 500


@dataclass(frozen=True)
class Trained:
    """Children that are trained here."""

    sampler: str
    inherit: bool
    trials: int
    epochs: int
    share: float = 0.15
    size: int = 16
    channels: int = 8
    cells: int = 1
    batch: int = 128


Rung = LookedUp | Trained | Setting
FULL: dict[str, Any] = {"size": 32, "channels": 16, "cells": 5}
TABLE: dict[str, Rung] = {
    "random-200": LookedUp("random", 200),
    "random-12": LookedUp("random", 12),
    "rl-200": LookedUp("reinforce", 200),
    "rl-12": LookedUp("reinforce", 12),
}
SETTINGS: dict[str, dict[str, Rung]] = {
    # 2,000 steps of the weights for all that share them
    "small": {
        **TABLE,
        "rl-inherited": Trained("reinforce", True, trials=100, epochs=1),
        "random-small": Trained("random", False, trials=25, epochs=4),
        "enas": Setting("enas", epochs=10, steps=200, sampler_steps=200),
        "random-sharing": Setting("random-sharing", epochs=10, steps=200),
        "darts-1": Setting("darts", epochs=10, steps=200),
        "darts-2": Setting("darts-2", epochs=10, steps=200),
        "gdas": Setting("gdas", epochs=10, steps=200),
    },
    # what was tried, on other seeds, for the rungs that end below the median of random cells
    "remedies": {
        "gdas-warmup": Setting("gdas", epochs=10, steps=200, warmup=5),
        "gdas-without-none": Setting("gdas", epochs=10, steps=200, none=False),
        "gdas-without-none-warmup": Setting("gdas", epochs=10, steps=200, none=False, warmup=5),
        "enas-bounded": Setting("enas", epochs=10, steps=200, sampler_steps=200, tanh_constant=0.44),
        "enas-longer": Setting("enas", epochs=30, steps=200, sampler_steps=200),
        "random-sharing-longer": Setting("random-sharing", epochs=30, steps=200),
    },
    # the recipes of NAS-Bench-201's authors
    "full": {
        **TABLE,
        "rl-inherited": Trained("reinforce", True, trials=500, epochs=4, share=1.0, **FULL),
        "random-small": Trained("random", False, trials=167, epochs=12, share=1.0, **FULL),
        "enas": Setting("enas", 250, 196, batch=128, sampler_steps=1000, recipe="enas/nasbench201_search.yaml", **FULL),
        "random-sharing": Setting("random-sharing", 250, 391, **FULL),
        "darts-1": Setting("darts", 50, 391, **FULL),
        "darts-2": Setting("darts-2", 50, 391, **FULL),
        "gdas": Setting("gdas", 250, 391, **FULL),
    },
}


class Timed(FitEvaluator):
    """Measures children by the clock of all rungs, without the reading of the images."""

    def evaluate(self, job: Job) -> Evaluation:
        self.datamodule.setup("fit")
        begin = clock()
        found = super().evaluate(job)
        return replace(found, seconds=clock() - begin)


def look_up(rung: LookedUp, seed: int, arguments: argparse.Namespace) -> list[Trial]:
    """Trials whose results stand in the table."""
    columns = {rung.epochs: {"val/accuracy": f"cifar10_valid_acc_{rung.epochs}ep", "test/accuracy": TEST}}
    evaluator = TableEvaluator(arguments.table, columns, scale=0.01)
    sampler = nasbench201_table.sampler_of(rung.sampler, seed, rung.epochs)
    return nasbench201_table.run(evaluator, sampler, seed, rung.trials, None)


def train(rung: Trained, seed: int, folder: Path, root: Path) -> list[Trial]:
    """Trials that are trained here, from the last finished one on."""
    L.seed_everything(seed, verbose=False)
    images = ImageFolder(root, rung.batch, rung.size, validation=0.05, crop=rung.size // 8)
    store = WeightStore("weights", 200) if rung.inherit else None
    evaluator = Timed(images, Sgd(lr=0.1, nesterov=True), store=store, inherit="all" if rung.inherit else "own")
    sampler = nasbench201_table.SAMPLERS[rung.sampler](Fidelity(epochs=rung.epochs, share=rung.share))
    sizes = StagedSkeleton(channels=rung.channels, cells_per_stage=rung.cells)
    return fitted(MultiTrialSearch(sampler, evaluator, sizes, trials=rung.trials), folder)


def figures(trials: list[Trial], test: Mapping[str, float]) -> dict[str, Any]:
    """What is kept of a search of children: the cell with the best reward, and what all of them cost."""
    done = [trial for trial in trials if trial.reward is not None]
    cells = [SPACE.format(trial.genotype) for trial in trials]
    found = SPACE.format(max(done, key=lambda trial: trial.reward or 0.0).genotype)
    sizes = [epoch_seconds.macs(cell) for cell in cells]
    return {
        "cell": found,
        "accuracy": test[found],
        "seconds": sum(trial.seconds for trial in trials),
        "trials": len(trials),
        "failed": len(trials) - len(done),
        "distinct": len(set(cells)),
        "distinct_last_50": len(set(cells[-50:])),
        "trained_epochs": sum(trial.proposal.epochs for trial in trials),
        "mean_macs": sum(sizes) / len(sizes),
        "truth": [test[cell] for cell in cells],
        "rewards": [round(trial.reward or 0.0, 4) for trial in trials],
    }


def run(name: str, rung: Rung, seed: int, test: dict[str, float], arguments: argparse.Namespace) -> None:
    """One rung with one seed, unless it is complete."""
    stem = f"{arguments.setting}-{name}"
    output = arguments.results / f"{stem}-{seed}.json"
    if isinstance(rung, Setting):
        nasbench201_search.run(stem, rung, seed, test, arguments)
        return
    if read_run(output).get("complete"):
        return
    if isinstance(rung, LookedUp):
        trials = look_up(rung, seed, arguments)
    else:
        trials = train(rung, seed, arguments.work / output.stem, arguments.root)
    head = {"benchmark": "ladder", "name": stem, "setting": asdict(rung), "seed": seed, **where()}
    found = figures(trials, test)
    write_atomically(output, json.dumps({**head, "complete": True, **found}) + "\n")
    print(f"{output.stem}: {found['accuracy']:.2f} {found['cell']}, {found['seconds']:.0f} s", flush=True)


def measure_epochs(arguments: argparse.Namespace) -> None:
    """The seconds of an epoch on this machine, unless they are known."""
    output = arguments.results / f"{arguments.setting}-epoch_seconds.json"
    if output.exists():
        return
    settings = {"batch": 64, "batches": 3, "rounds": 7}
    found = epoch_seconds.measure(arguments.root, **settings)
    head = {"benchmark": "epoch_seconds", **where(), "settings": settings, "seeds": list(range(settings["rounds"]))}
    write_atomically(output, json.dumps({**head, "results": found}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="the benchmark's accuracies; without it only the summary is printed")
    parser.add_argument("--root", type=Path, help="CIFAR-10 in class folders")
    parser.add_argument("--setting", choices=list(SETTINGS), default="small")
    parser.add_argument("--rungs", nargs="*", help="all of the setting")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--table-seeds", type=int, default=20, help="number of seeds of the rungs that are looked up")
    parser.add_argument("--work", type=Path, default=Path("runs/ladder"), help="checkpoints, trials and weights")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, help="default: next to the results")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    arguments = parser.parse_args()
    prepare(arguments.threads)
    every = SETTINGS[arguments.setting]
    rungs = {name: every[name] for name in arguments.rungs or every}
    if arguments.table:
        if not arguments.root:
            parser.error("--table needs --root")
        test = read_table(arguments.table, TEST)
        if any(isinstance(rung, LookedUp) for rung in rungs.values()):
            measure_epochs(arguments)
        for name, rung in rungs.items():
            for seed in range(arguments.table_seeds) if isinstance(rung, LookedUp) else ():
                run(name, rung, seed, test, arguments)
        for seed in arguments.seeds:
            for name, rung in rungs.items():
                if not isinstance(rung, LookedUp):
                    run(name, rung, seed, test, arguments)
    rows = summarize(arguments.results, arguments.setting, list(every))
    summarize_rewards(arguments.results, arguments.setting)
    if rows:
        name = "ladder.png" if arguments.setting == "small" else f"ladder-{arguments.setting}.png"
        draw(rows, arguments.picture or arguments.results.parent / name)


if __name__ == "__main__":
    main()
