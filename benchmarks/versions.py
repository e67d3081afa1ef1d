"""Two checkouts of this project against each other: the same steps of old and new code, in turn, in one run.

Each checkout runs its own benchmark scripts on its own package, in a process of its own. The cases are the package's
side of those of `steps.py`, and a search step inside `Trainer.fit` (`overhead.py`, trainer `plain`). A round is a step
of each, the old one first in every other round, so that a machine whose speed drifts treats both alike. Printed are the
medians, and the median of the rounds' ratios of new to old with a 95 % interval (percentiles of resampled rounds).

With this checkout itself as `--old` it shows what the machine's noise alone makes of a ratio.

    python benchmarks/versions.py --old ../before            # ten minutes on two cores that do nothing else
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import overhead
import steps
import torch
from apart import Apart, importing
from harness import commit, prepare, processor, record

HERE = Path(__file__).parents[1]
WARMUP = 3
RESAMPLES = 10_000
SHARING = {"weights": "weight_step", "controller": "controller_round"}
KINDS: dict[str, Iterable[str]] = {**steps.KINDS, "overhead": [f"overhead {name}" for name in overhead.CASES]}
USUAL = [*steps.USUAL, "overhead"]


def served(folder: Path, *words: object) -> list[str]:
    return [str(HERE / "benchmarks" / "served.py"), str(folder), *map(str, words)]


def command(name: str, folder: Path, settings: argparse.Namespace) -> list[str]:
    """What serves the steps of a case in a checkout, without the interpreter."""
    kind = next(kind for kind, cases in KINDS.items() if name in cases)
    if kind == "overhead":
        return served(folder, "overhead", name.removeprefix("overhead "), WARMUP + settings.rounds)
    script = folder / "benchmarks" / "steps.py"
    if script.exists():
        return [str(script), *steps.words(name, settings), "fan_out"]
    return _before_steps(kind, name, folder, settings)


def _before_steps(kind: str, name: str, folder: Path, settings: argparse.Namespace) -> list[str]:
    """The same in a checkout that has a script for each kind of steps in place of `steps.py`."""
    batch, size = str(settings.batch or steps.CASES[name].batch), str(settings.size)
    if kind == "sharing":
        _, space, what = name.split()
        return served(folder, "sharing", SHARING[what], space, batch, settings.paths)
    words = [str(folder / "benchmarks" / f"{kind}_step.py"), "--batch", batch, "--size", size]
    if kind == "search":
        words += ["--cells", str(settings.cells), "--channels", str(settings.channels), "--seed", str(settings.seed)]
        words += ["--steps", name]
    else:
        words += ["--networks", name.removeprefix("training ")]
    return [*words, "--serve", "fan_out"]


def check(folder: Path) -> None:
    """Make sure that a process of a checkout does not import another one's package.

    Raises:
        ValueError: it does, or it imports none.
    """
    words = [sys.executable, "-c", "import lightning_nas; print(lightning_nas.__file__)"]
    done = subprocess.run(words, env=importing(folder), cwd="/", capture_output=True, text=True)
    if done.returncode or folder not in Path(done.stdout.strip()).resolve().parents:
        found = done.stdout.strip() or done.stderr.strip()
        raise ValueError(f"{folder} has no package of its own (found: {found}). Give --old the folder of a checkout.")


def alternately(sides: Mapping[str, Apart], rounds: int) -> dict[str, list[float]]:
    """Seconds of each side, the order turned round after each round."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    order = list(sides)
    for index in range(WARMUP + rounds):
        for name in order:
            begin = time.perf_counter()
            sides[name].step()
            if index >= WARMUP:
                seconds[name].append(time.perf_counter() - begin)
        order.reverse()
    return seconds


def interval(ratios: Sequence[float], seed: int) -> tuple[float, float]:
    """A 95 % interval of the median: percentiles of the medians of resampled rounds."""
    values, generator = torch.tensor(ratios, dtype=torch.float64), torch.Generator().manual_seed(seed)
    drawn = torch.randint(len(ratios), (RESAMPLES, len(ratios)), generator=generator)
    medians = values[drawn].quantile(0.5, dim=1)
    low, high = medians.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def measure(name: str, folders: Mapping[str, Path], settings: argparse.Namespace) -> dict[str, Any]:
    """Old and new of one case, printed as a line of the table."""
    sides = {side: Apart(command(name, folder, settings), folder) for side, folder in folders.items()}
    seconds = alternately(sides, settings.rounds)
    memory = {side: process.end() for side, process in sides.items()}
    share = overhead.CASES[name.removeprefix("overhead ")][2] if name in KINDS["overhead"] else steps.CASES[name].share
    medians = {side: statistics.median(values) / share for side, values in seconds.items()}
    ratios = [new / old for old, new in zip(seconds["old"], seconds["new"], strict=True)]
    ratio, (low, high) = statistics.median(ratios), interval(ratios, settings.seed)
    times = "".join(f"{1e3 * medians[side]:>9.2f} ms" for side in folders)
    print(f"{name:32}{times}{ratio:>8.3f}   {low:.3f} to {high:.3f}{memory['new'] / memory['old']:>9.2f}", flush=True)
    return {"seconds": seconds, "median": medians, "ratio": ratio, "interval": [low, high], "peak_memory": memory}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, required=True, help="another checkout")
    steps.add_sizes(parser, KINDS, USUAL)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    return parser.parse_args()


def main() -> None:
    settings = arguments()
    prepare()
    folders = {"old": settings.old.resolve(), "new": HERE}
    for folder in folders.values():
        check(folder)
    commits = {side: commit(folder / "benchmarks") for side, folder in folders.items()}
    print(f"{processor()}; old is {commits['old']}, new is {commits['new']}")
    print(f"{'step':32}{'old':>12}{'new':>12}{'ratio':>8}   {'95 %':14}{'memory':>9}")
    settings.cases = steps.chosen(settings.cases, KINDS)
    results = {name: measure(name, folders, settings) for name in settings.cases}
    written = {k: v for k, v in vars(settings).items() if k not in ("old", "output")}
    record("versions", results, {**written, "commits": commits}, settings.output)


if __name__ == "__main__":
    main()
