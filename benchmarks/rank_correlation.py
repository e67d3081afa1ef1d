"""How well a shared supernet ranks cells: its scores against the true accuracies of NAS-Bench-201.

ENAS, random search with weight sharing and single path one-shot are run on CIFAR-10 images of 16x16 pixels. Then 200
cells, drawn uniformly and the same for all, are scored on all validation images as the method scores them, and compared
with their test accuracy after 200 epochs of training, from a table that no search sees: Kendall's tau, Spearman's rho.

    python benchmarks/rank_correlation.py --table nasbench201.csv.gz --root cifar10 --seeds 0 1 2
    python benchmarks/rank_correlation.py                # the summary of the results that are kept

Table and images are as in `nasbench201_search.py`. A run that is complete is not repeated, and each has a file of its
own, so several processes can share them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import lightning as L
from harness import correlations, prepare, where
from nasbench201_search import read_table

from lightning_nas import Adam, Derivation, EnasSearch, RandomSharingSearch, Sgd, SinglePathSearch, StagedSkeleton
from lightning_nas import WeightSharingSearch as Sharing
from lightning_nas.data import ImageFolder, Phased
from lightning_nas.evaluators.path_score import Path as SupernetPath
from lightning_nas.evaluators.path_score import evaluating, score_path
from lightning_nas.runtime.files import write_atomically
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import NasBench201Space

SPACE = NasBench201Space()
SIZES = StagedSkeleton(channels=8, cells_per_stage=1)
CELLS, EPOCHS, WEIGHT_STEPS, SAMPLER_STEPS = 200, 20, 600, 100
SGD = Sgd(lr=0.05, lr_min=5e-4, nesterov=True, weight_decay=5e-4)
CONTROLLER = Adam(lr=3.5e-3, betas=(0.0, 0.999), weight_decay=0.0, eps=1e-3)
METHODS = {
    "enas": lambda: EnasSearch(
        SPACE, SIZES, Derivation(100, 10, every=0), optimizer=SGD, controller_optimizer=CONTROLLER
    ),
    "random-sharing": lambda: RandomSharingSearch(SPACE, SIZES, optimizer=SGD),
    "single-path": lambda: SinglePathSearch(SPACE, SIZES, candidates=300, recalibrate=10, optimizer=SGD),
}


class KeepValidation(L.Callback):
    """The validation batches, and training batches for statistics, as the search has them on its device."""

    def __init__(self) -> None:
        self.batches: list[Any] = []
        self.training: list[Any] = []

    def on_validation_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *arguments: Any) -> None:
        if trainer.current_epoch + 1 == trainer.max_epochs and not trainer.sanity_checking:
            self.batches.append(arguments[1])

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *arguments: Any) -> None:
        batch = arguments[1].get("train")
        if trainer.current_epoch + 1 == trainer.max_epochs and batch is not None and len(self.training) < 10:
            self.training.append(batch)


def scores(search: Sharing, kept: KeepValidation, statistics_used: str) -> list[float]:
    """What the supernet says of the cells."""
    cells = [SPACE.sample(generator(0, "cell", number)) for number in range(CELLS)]
    training = kept.training if statistics_used == "recalibrated" else []
    found = []
    with evaluating(search.supernet, statistics_used):  # type: ignore[arg-type]
        for cell in cells:
            path = SupernetPath(search.supernet, SPACE.path(cell))
            found.append(float(score_path(path, kept.batches, search.task, SIZES, search.inputs, training)))
    return found


def run(name: str, seed: int, table: dict[str, float], arguments: argparse.Namespace) -> None:
    """One search and its correlation."""
    output = arguments.results / f"{name}-{seed}.json"
    if output.exists():
        return
    L.seed_everything(seed, verbose=False)
    images = ImageFolder(arguments.root, 64, 16, validation=0.05, crop=2)
    steps = SAMPLER_STEPS if name == "enas" else 0
    data, search, kept = Phased(images, 0.9, steps, WEIGHT_STEPS), METHODS[name](), KeepValidation()
    trainer = L.Trainer(
        max_epochs=arguments.epochs,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=arguments.epochs,
        callbacks=[kept],
        default_root_dir=arguments.work / output.stem,
    )
    begin = time.perf_counter()
    trainer.fit(search, datamodule=data)
    seconds = time.perf_counter() - begin
    cells = [SPACE.sample(generator(0, "cell", number)) for number in range(CELLS)]
    truth = [table[SPACE.format(cell)] for cell in cells]
    found = {kind: scores(search, kept, kind) for kind in ("batch", "recalibrated", "running")}
    best = SPACE.format(search.derive())
    result = {
        "benchmark": "rank_correlation",
        "method": name,
        "seed": seed,
        **where(),
        "seconds": round(seconds, 1),
        "found": best,
        "accuracy": table[best],
        "entropy": search.sampler.figures().get("entropy"),
        "correlation": {kind: correlations(values, truth) for kind, values in found.items()},
        "mean_score": {kind: statistics.mean(values) for kind, values in found.items()},
        "scores": {kind: [round(value, 4) for value in values] for kind, values in found.items()},
        "truth": truth,
    }
    write_atomically(output, json.dumps(result) + "\n")
    print(name, seed, f"{seconds:.0f} s", best, table[best], result["correlation"], result["mean_score"], flush=True)


def among_best(values: list[float], truth: list[float], count: int = 50) -> float:
    """Kendall's tau of the cells with the best scores alone, among which a search chooses."""
    best = sorted(range(len(values)), key=lambda index: -values[index])[:count]
    return correlations([values[index] for index in best], [truth[index] for index in best])["kendall"]


def summarize(results: Path) -> None:
    """Mean and standard deviation over the seeds."""
    print(
        f"{'method':16}{'seeds':>6}{'s':>6}{'statistics':>14}{'Kendall':>16}{'Spearman':>16}{'among top 50':>16}"
        f"{'found, true %':>18}"
    )
    for name in METHODS:
        runs = [json.loads(path.read_text()) for path in sorted(results.glob(f"{name}-[0-9]*.json"))]
        for kind in ("batch", "recalibrated", "running") if runs else ():
            figures = [[run["correlation"][kind][which] for run in runs] for which in ("kendall", "spearman")]
            seconds, accuracy = statistics.mean(r["seconds"] for r in runs), mean_sd([r["accuracy"] for r in runs])
            figures.append([among_best(run["scores"][kind], run["truth"]) for run in runs])
            texts = "".join(f"{mean_sd(values):>16}" for values in figures)
            print(f"{name:16}{len(runs):>6}{seconds:>6.0f}{kind:>14}{texts}{accuracy:>18}")


def summarize_convolutions(results: Path) -> None:
    """Whether scores see what convolutions are worth."""
    counts = [float(sum("conv" in o for _, o in SPACE.sample(generator(0, "cell", n)))) for n in range(CELLS)]
    for path in sorted(results.glob("*-[0-9]*.json")):
        run = json.loads(path.read_text())
        score, truth = (correlations(x, counts)["kendall"] for x in (run["scores"]["recalibrated"], run["truth"]))
        left = "" if run["entropy"] is None else f"; entropy of the policy {run['entropy']:.2f} nats"
        print(f"{path.stem}: number of convolutions with the score {score:.2f}, with the truth {truth:.2f}{left}")


def mean_sd(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.2f} +- {deviation:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, help="CSV of the benchmark's accuracies; without it only the summary")
    parser.add_argument("--root", type=Path, help="CIFAR-10 in class folders")
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--work", type=Path, default=Path("runs/rank_correlation"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "rank_correlation")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    arguments = parser.parse_args()
    prepare(arguments.threads)
    if arguments.table:
        table = read_table(arguments.table, "cifar10_test_acc_200ep")
        for seed in arguments.seeds:
            for name in arguments.methods:
                run(name, seed, table, arguments)
    summarize(arguments.results)
    summarize_convolutions(arguments.results)


if __name__ == "__main__":
    main()
