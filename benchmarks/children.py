"""Children trained on CIFAR-10 images: what searches, successive halving and inherited weights gain over none.

    python benchmarks/children.py search --root cifar10 --names reinforce reinforce-random --seeds 0 1 2
    python benchmarks/children.py search --root cifar10 --names nasnet nasnet-random --seeds 0 1 2
    python benchmarks/children.py halving --root cifar10 --seeds 0 1 2
    python benchmarks/children.py inheritance --root cifar10 --seeds 0
    python benchmarks/children.py                        # the summary of the results that are kept

`search` runs `configs/reinforce/cifar10_small.yaml` and `configs/nasnet/cifar10_small.yaml`, and random search with the
same space, evaluator, fidelity and number of children. `halving` spends the same time on full training of random
children and on successive halving. `inheritance` trains the same children, from the same seeds, with and without the
weights of earlier children.

`--root` is CIFAR-10 as images in `train/<class>/` and `test/<class>/`, which `torchvision.datasets.CIFAR10` downloads.
A run that was stopped goes on after its last finished child. Each run has a file of its own, so several processes can
share them.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import lightning as L
import yaml
from harness import prepare, where

from lightning_nas import (
    Fidelity,
    FitEvaluator,
    MultiTrialSearch,
    RandomSearch,
    Sampler,
    Sgd,
    SuccessiveHalving,
    Trial,
    UniformSampler,
    WeightStore,
)
from lightning_nas.config import instantiate
from lightning_nas.data import ImageFolder
from lightning_nas.runtime.files import write_atomically
from lightning_nas.spaces import NasBench201Space

CONFIGS = Path(__file__).parents[1] / "configs"
SHARED = ("space", "skeleton", "evaluator", "fidelity", "reward", "trials")
SPACE = NasBench201Space()
SIZES = SPACE.skeleton(channels=8, cells_per_stage=1)
RUNGS = (Fidelity(epochs=1, share=0.15), Fidelity(epochs=3, share=0.15), Fidelity(epochs=9, share=0.15))


def searched(name: str, arguments: argparse.Namespace) -> MultiTrialSearch:
    """The search of a small config, or random search trained in the same way."""
    method, _, control = name.partition("-")
    config = yaml.safe_load((CONFIGS / method / "cifar10_small.yaml").read_text())
    model = config["model"]
    if control:
        settings = {key: value for key, value in model["init_args"].items() if key in SHARED}
        model = {"class_path": "RandomSearch", "init_args": settings}
    model["init_args"]["evaluator"]["init_args"]["datamodule"]["init_args"]["root"] = str(arguments.root)
    found = instantiate(model)
    assert isinstance(found, MultiTrialSearch)
    return found


def halved(name: str, arguments: argparse.Namespace) -> MultiTrialSearch:
    """Successive halving, or full training of every child, for the same time; "late" has no rung of one epoch."""
    sampler: Sampler = UniformSampler(SPACE, RUNGS[-1])
    if name != "full":
        sampler = SuccessiveHalving(UniformSampler(SPACE), RUNGS if name == "halving" else RUNGS[1:])
    evaluator = FitEvaluator(images(arguments), Sgd(lr=0.1, nesterov=True), store=WeightStore("weights", 200))
    return MultiTrialSearch(sampler, evaluator, SIZES, trials=1000, max_seconds=arguments.seconds)


def inherited(name: str, arguments: argparse.Namespace) -> MultiTrialSearch:
    """Random children that start from all earlier ones, or from nothing."""
    store = WeightStore("weights", 200) if name == "inherited" else None
    inherit: Literal["all", "own"] = "own" if store is None else "all"
    evaluator = FitEvaluator(images(arguments), Sgd(lr=0.1, nesterov=True), store=store, inherit=inherit)
    return RandomSearch(SPACE, evaluator, SIZES, Fidelity(epochs=4, share=0.15), trials=40)


def images(arguments: argparse.Namespace) -> ImageFolder:
    """CIFAR-10 at 16x16 pixels, a twentieth for validation."""
    return ImageFolder(arguments.root, 128, 16, validation=0.05, crop=2)


PARTS: dict[str, tuple[Callable[[str, argparse.Namespace], MultiTrialSearch], tuple[str, ...]]] = {
    "search": (searched, ("reinforce", "reinforce-random", "nasnet", "nasnet-random")),
    "halving": (halved, ("halving", "late", "full")),
    "inheritance": (inherited, ("inherited", "new")),
}


def run(part: str, name: str, seed: int, arguments: argparse.Namespace) -> None:
    """One run, from its last finished child on; its record is kept when it is complete."""
    output = arguments.results / f"{part}-{name}-{seed}.json"
    if output.exists():
        return
    L.seed_everything(seed, verbose=False)
    trials = [row(trial) for trial in fitted(PARTS[part][0](name, arguments), arguments.work / output.stem)]
    head = {"benchmark": "children", "part": part, "name": name, "seed": seed, **where()}
    lines = ",\n".join(json.dumps(trial) for trial in trials)
    write_atomically(output, f'{json.dumps(head)[:-1]}, "trials": [\n{lines}\n]}}\n')
    print(f"{output.stem}: {len(trials)} children, best {max(trial['accuracy'] for trial in trials):.4f}", flush=True)


def fitted(search: MultiTrialSearch, folder: Path) -> list[Trial]:
    """All trials of a search, those that stand in the folder already included."""
    trainer = L.Trainer(
        max_epochs=1,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(search)
    return [search.runner.known[number] for number in sorted(search.runner.known)]


def row(trial: Trial) -> dict[str, Any]:
    """What is kept of a trial."""
    return {
        "id": trial.id,
        "accuracy": round(trial.metrics.get("val/accuracy", 0.0), 4),
        "curve": [round(value, 4) for value in trial.curves.get("val/accuracy", ())],
        "epochs": trial.proposal.fidelity.epochs,
        "parent": trial.proposal.parent,
        "seconds": round(trial.seconds, 2),
        "genotype": "/".join(option for _, option in trial.genotype),
        "reason": trial.reason,
    }


def read(results: Path, part: str, name: str) -> list[list[dict[str, Any]]]:
    """The trials of all seeds."""
    return [json.loads(path.read_text())["trials"] for path in sorted(results.glob(f"{part}-{name}-[0-9]*.json"))]


def mean_sd(values: list[float]) -> str:
    """Mean and standard deviation, in percent."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{100 * statistics.mean(values):.2f} +- {100 * deviation:.2f}"


def summarize_search(results: Path) -> None:
    """Best child, and mean of the last third, against random search; one figure a seed."""
    print(f"{'search':20}{'seeds':>6}{'children':>10}{'s/child':>9}{'best':>16}{'mean':>16}{'last third':>16}")
    for name in PARTS["search"][1]:
        runs = read(results, "search", name)
        if not runs:
            continue
        accuracies = [[trial["accuracy"] for trial in trials] for trials in runs]
        last = [statistics.mean(values[-len(values) // 3 :]) for values in accuracies]
        seconds = statistics.mean(trial["seconds"] for trials in runs for trial in trials)
        means = [statistics.mean(values) for values in accuracies]
        figures = [mean_sd(values) for values in ([max(values) for values in accuracies], means, last)]
        print(f"{name:20}{len(runs):>6}{len(accuracies[0]):>10}{seconds:>9.1f}" + "".join(f"{f:>16}" for f in figures))


def summarize_halving(results: Path) -> None:
    """The best child of the highest rung within the same time."""
    print(f"{'strategy':20}{'seeds':>6}{'children':>10}{'full':>6}{'seconds':>9}{'best at full':>16}")
    for name in PARTS["halving"][1]:
        runs = read(results, "halving", name)
        if not runs:
            continue
        full = [[t["accuracy"] for t in trials if t["epochs"] == RUNGS[-1].epochs] for trials in runs]
        children = statistics.mean(len({t["genotype"] for t in trials}) for trials in runs)
        seconds = statistics.mean(sum(t["seconds"] for t in trials) for trials in runs)
        best, trained = mean_sd([max(v) for v in full]), statistics.mean(map(len, full))
        print(f"{name:20}{len(runs):>6}{children:>10.0f}{trained:>6.0f}{seconds:>9.0f}{best:>16}")


def summarize_inheritance(results: Path) -> None:
    """The same children, without the first ten, which have little to inherit; accuracy after each epoch."""
    curves = {}
    for name in PARTS["inheritance"][1]:
        runs = read(results, "inheritance", name)
        curves[name] = [trial for trials in runs for trial in trials if trial["id"] >= 10 and trial["curve"]]
    if not all(curves.values()):
        return
    old, new = curves["inherited"], curves["new"]
    print(f"{'children after the tenth':26}{len(old):>6}{len(new):>6}")
    for epoch in range(len(new[0]["curve"])):
        with_, without = ([trial["curve"][epoch] for trial in trials] for trials in (old, new))
        better = sum(a > b for a, b in zip(with_, without, strict=True))
        print(f"epoch {epoch + 1}: inherited {mean_sd(with_)}, new {mean_sd(without)}, better {better} of {len(new)}")
    goal = statistics.mean(trial["curve"][-1] for trial in new)
    for name, trials in curves.items():
        # a child's epochs take equal time; from the first one on whose mean accuracy is what new children end with
        epochs = len(trials[0]["curve"])
        means = [statistics.mean(trial["curve"][epoch] for trial in trials) for epoch in range(epochs)]
        reached = next((epoch + 1 for epoch, mean in enumerate(means) if mean >= goal), None)
        seconds = statistics.mean(trial["seconds"] for trial in trials)
        text = "not reached" if reached is None else f"{reached} epochs, {seconds * reached / epochs:.1f} s a child"
        print(f"{name:12} to {100 * goal:.2f} %: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=list(PARTS), help="without it only the summary is printed")
    parser.add_argument("--root", type=Path, help="CIFAR-10 in class folders")
    parser.add_argument("--names", nargs="*", help="all of the part")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=300.0, help="for each run of the halving part")
    parser.add_argument("--work", type=Path, default=Path("runs/children"), help="trials and weights")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "children")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    arguments = parser.parse_args()
    prepare(arguments.threads)
    if arguments.part:
        if not arguments.root:
            parser.error(f"{arguments.part} needs --root")
        for seed in arguments.seeds:
            for name in arguments.names or PARTS[arguments.part][1]:
                run(arguments.part, name, seed, arguments)
    summarize_search(arguments.results)
    summarize_halving(arguments.results)
    summarize_inheritance(arguments.results)


if __name__ == "__main__":
    main()
