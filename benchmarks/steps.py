"""Steps of searches and trainings: this package's execution against its own edge-by-edge reference.

The reference is in the layout of the authors' code; both sides compute the same function from the same weights, images
and paths. What a step is, and what each side does for it, is said in `search_side.py` (supernets of DARTS and GDAS),
`training_side.py` (final networks) and `sharing_side.py` (weights and controller of a search with shared weights).

Each side runs in a process of its own, and they take turns. Peak memory is that of these processes, less what they held
after their imports.

    python benchmarks/steps.py                                       # twelve minutes on two cores
    python benchmarks/steps.py --cases search --checkpoint-cells     # all steps of a kind: search, training, sharing
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from apart import SIDES, Mode, compare, heading, serve
from harness import prepare, processor, record
from search_side import STEPS, search_step
from sharing_side import ROUND, SPACES, SharingSide
from training_side import NETWORKS, TrainingSide

Step = Callable[[], object]
Build = Callable[[Mode, argparse.Namespace, torch.device], Step]


@dataclass(frozen=True)
class Case:
    """A step that is compared: how a side of it is built, and its sizes if no others are given.

    Args:
        build: builds a side and gives its step.
        batch: images.
        rounds: of both sides in turn.
        share: how many steps are taken at a time.
    """

    build: Build
    batch: int
    rounds: int
    share: int = 1


def searching(name: str) -> Case:
    return Case(lambda mode, sizes, device: search_step(name, mode, sizes, device), batch=16, rounds=7)


def training(name: str) -> Case:
    return Case(lambda mode, sizes, device: TrainingSide(mode, name, sizes, device).step, batch=16, rounds=15)


def sharing_weights(space: str) -> Case:
    return Case(lambda mode, sizes, device: SharingSide(mode, space, sizes, device).weight_step, batch=64, rounds=10)


def sharing_controller(space: str) -> Case:
    build: Build = lambda mode, sizes, device: SharingSide(mode, space, sizes, device).controller_round  # noqa: E731
    return Case(build, batch=64, rounds=5, share=ROUND)


KINDS: dict[str, dict[str, Case]] = {
    "search": {name: searching(name) for name in STEPS},
    "training": {f"training {name}": training(name) for name in NETWORKS},
    "sharing": {
        f"sharing {space} {what}": case(space)
        for space in SPACES
        for what, case in (("weights", sharing_weights), ("controller", sharing_controller))
    },
}
CASES = {name: case for cases in KINDS.values() for name, case in cases.items()}
"""All of them by name."""
USUAL = [*KINDS["search"], "training DARTS_V2", *KINDS["sharing"]]
SIZES = ("cells", "channels", "size", "paths", "seed")


def add_sizes(parser: argparse.ArgumentParser, kinds: Mapping[str, Iterable[str]], usual: Sequence[str]) -> None:
    """Options for the cases of these kinds, and for their sizes."""
    names = [name for cases in kinds.values() for name in cases]
    listed = "; ".join(f"{kind} ({', '.join(cases)})" for kind, cases in kinds.items())
    parser.add_argument("--cases", nargs="*", default=usual, choices=[*names, *kinds], metavar="CASE", help=listed)
    parser.add_argument("--batch", type=int, help="images; by default 16, and 64 with shared weights")
    parser.add_argument("--size", type=int, default=32, help="pixels of the images' sides, 32 with shared weights")
    parser.add_argument("--cells", type=int, default=8, help="of the supernets of DARTS and GDAS")
    parser.add_argument("--channels", type=int, default=16, help="of the supernets of DARTS and GDAS")
    parser.add_argument("--paths", type=int, default=50, help="recorded paths through shared weights")
    parser.add_argument("--seed", type=int, default=0, help="of weights, images and paths")


def chosen(names: Sequence[str], kinds: Mapping[str, Iterable[str]]) -> list[str]:
    """The cases, with those of a kind in place of its name."""
    return [case for name in names for case in kinds.get(name, (name,))]


def words(name: str, settings: argparse.Namespace) -> list[str]:
    """Arguments of this script for one case; the side follows."""
    sizes = {"batch": settings.batch or CASES[name].batch, **{size: getattr(settings, size) for size in SIZES}}
    options = [word for size, value in sizes.items() for word in (f"--{size}", str(value))]
    return ["--cases", name, *options, "--serve"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_sizes(parser, KINDS, USUAL)
    parser.add_argument("--rounds", type=int, help="of each case; by default 7 (search), 15 (training), 10 and 5")
    parser.add_argument("--checkpoint-cells", action="store_true", help="on the package's side of a search step")
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    settings = parser.parse_args()
    prepare()
    if settings.serve:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        serve(partial(CASES[settings.cases[0]].build, settings.serve, settings, device))
        return
    settings.cases = chosen(settings.cases, KINDS)
    script = [__file__, *["--checkpoint-cells"] * settings.checkpoint_cells]
    print(f"{processor()}\n{heading('step')}")
    results = {}
    for name in settings.cases:
        rounds = settings.rounds or CASES[name].rounds
        results[name] = compare(name, [*script, *words(name, settings)], rounds, CASES[name].share)
    del settings.serve
    record("steps", results, {k: v for k, v in vars(settings).items() if k != "output"}, settings.output)


if __name__ == "__main__":
    main()
