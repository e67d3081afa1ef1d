"""ENAS on CIFAR-10 images of 16x16 pixels, micro and macro: cells that were searched against cells drawn uniformly.

Each search is followed by the training of what it has derived, stacked larger, from scratch; five random genotypes are
trained in the same network in the same way. The figure is the accuracy on all test images.

    python benchmarks/enas_search.py --root cifar10 --spaces micro macro --searches 0 1 2 --randoms 0 1 2 3 4
    python benchmarks/enas_search.py                     # the summary of the results that are kept

`--root` is CIFAR-10 as images in `train/<class>/` and `test/<class>/`. Searches are those of
`configs/enas/cifar10_micro_small.yaml` and `configs/enas/cifar10_macro_small.yaml`. A run that is complete is not
repeated, and each has a file of its own, so several processes can share them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from harness import prepare, where

from lightning_nas import Genotype, NetworkTraining, Sgd, Skeleton, WeightSharingSearch
from lightning_nas.config import instantiate
from lightning_nas.data import ImageFolder
from lightning_nas.runtime.files import write_atomically
from lightning_nas.runtime.seeding import generator

CONFIGS = Path(__file__).parents[1] / "configs" / "enas"
SGD = Sgd(lr=0.05, nesterov=True, weight_decay=4e-4)
EPOCHS, BATCHES = 6, 300


def config(space: str, root: Path) -> dict[str, Any]:
    """The small search's config, with the images of `root`."""
    found: dict[str, Any] = yaml.safe_load((CONFIGS / f"cifar10_{space}_small.yaml").read_text())
    found["data"]["init_args"]["datamodule"]["init_args"]["root"] = str(root)
    return found


def final_skeleton(settings: dict[str, Any]) -> Skeleton:
    """Sizes of the final network, those of the config's `StackCells`."""
    callbacks = {callback["class_path"]: callback.get("init_args", {}) for callback in settings["trainer"]["callbacks"]}
    skeleton = instantiate(callbacks["StackCells"]["skeleton"])
    assert isinstance(skeleton, Skeleton)
    return skeleton


def trainer(epochs: int, folder: Path, **settings: Any) -> L.Trainer:
    """A trainer that writes nothing but what the search itself writes."""
    return L.Trainer(
        max_epochs=epochs,
        accelerator="auto",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **settings,
    )


def run(space: str, kind: str, seed: int, arguments: argparse.Namespace) -> None:
    """One search, or one random genotype, and the training of its network."""
    output = arguments.results / f"{space}-{kind}-{seed}.json"
    if output.exists():
        return
    settings, folder = config(space, arguments.root), arguments.work / output.stem
    L.seed_everything(seed, verbose=False)
    search = instantiate(settings["model"])
    assert isinstance(search, WeightSharingSearch)
    begin = time.perf_counter()
    extra: dict[str, Any] = {}
    if kind == "search":
        found = trainer(settings["trainer"]["max_epochs"], folder)
        found.fit(search, datamodule=instantiate(settings["data"]))
        scores = [trial.metrics["val/accuracy"] for trial in search.candidates]
        extra = {"candidates": [round(score, 4) for score in scores]}
        extra |= {"val/accuracy": float(found.callback_metrics["val/accuracy"]), **search.sampler.figures()}
        genotype = search.derive()
    else:
        genotype = search.space.sample(generator(seed, "random cell"))
    searched = time.perf_counter() - begin
    accuracy, parameters = trained(search, genotype, settings, arguments, folder)
    result = {
        "benchmark": "enas_search",
        "space": space,
        "kind": kind,
        "seed": seed,
        **where(),
        "accuracy": accuracy,
        "parameters": parameters,
        "search_seconds": round(searched, 1),
        "seconds": round(time.perf_counter() - begin, 1),
        "genotype": dict(genotype.choices),
        **extra,
    }
    write_atomically(output, json.dumps(result, indent=1) + "\n")
    print(f"{output.stem}: {100 * accuracy:.2f} %, {parameters:,} parameters, {searched:.0f} s searched", flush=True)


def trained(
    search: WeightSharingSearch,
    genotype: Genotype,
    settings: dict[str, Any],
    arguments: argparse.Namespace,
    folder: Path,
) -> tuple[float, int]:
    """Test accuracy of the genotype's network, trained from scratch, and its parameters."""
    L.seed_everything(100, verbose=False)  # the same start and order for all
    network = NetworkTraining(search.space, genotype, final_skeleton(settings), None, SGD)
    images = ImageFolder(arguments.root, 64, 16, validation=0.0, crop=2)
    final = trainer(EPOCHS, folder, limit_train_batches=BATCHES)
    final.fit(network, datamodule=images)
    (metrics,) = final.test(network, datamodule=images, verbose=False)
    return metrics["test/accuracy"], sum(p.numel() for p in network.network.parameters())


def summarize(results: Path) -> None:
    """Mean and standard deviation of both kinds."""
    print(f"{'space':8}{'kind':10}{'runs':>6}{'test accuracy':>18}{'best':>8}{'parameters':>12}{'search, s':>11}")
    for space in ("micro", "macro"):
        for kind in ("search", "random"):
            runs = [json.loads(path.read_text()) for path in sorted(results.glob(f"{space}-{kind}-*.json"))]
            if not runs:
                continue
            values = [100 * run["accuracy"] for run in runs]
            deviation = statistics.stdev(values) if len(values) > 1 else 0.0
            text = f"{statistics.mean(values):.2f} +- {deviation:.2f}"
            parameters, seconds = (
                statistics.mean(run[key] for run in runs) for key in ("parameters", "search_seconds")
            )
            print(
                f"{space:8}{kind:10}{len(runs):>6}{text:>18}{max(values):>8.2f}{parameters:>12,.0f}"
                f"{seconds if kind == 'search' else 0:>11.0f}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, help="CIFAR-10 in class folders; without it only the summary")
    parser.add_argument("--spaces", nargs="*", default=["micro", "macro"], choices=["micro", "macro"])
    parser.add_argument("--searches", nargs="*", type=int, default=[0, 1, 2], help="seeds")
    parser.add_argument("--randoms", nargs="*", type=int, default=[0, 1, 2, 3, 4], help="seeds")
    parser.add_argument("--work", type=Path, default=Path("runs/enas_search"))
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "enas_search")
    parser.add_argument("--threads", type=int, help="CPU threads of this process")
    arguments = parser.parse_args()
    prepare(arguments.threads)
    if arguments.root:
        for space in arguments.spaces:
            for kind, seeds in (("random", arguments.randoms), ("search", arguments.searches)):
                for seed in seeds:
                    run(space, kind, seed, arguments)
    summarize(arguments.results)


if __name__ == "__main__":
    main()
