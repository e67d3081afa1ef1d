"""The sides of a comparison, each in a process of its own as a user's would be.

In one process the memory that one side has freed makes the other's slower to find, and a peak of memory is not its own.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from harness import interleaved, median_ratio

Mode = Literal["fan_out", "edge_by_edge"]
SIDES: tuple[Mode, Mode] = ("edge_by_edge", "fan_out")


def in_use(peak: bool = False) -> int:
    """Bytes that this process holds, or has held at most; on a GPU what torch has allocated there."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()
    name = "VmHWM" if peak else "VmRSS"
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


def importing(folder: Path) -> dict[str, str]:
    """The environment of a process that imports the package of a checkout."""
    return {**os.environ, "PYTHONPATH": str(folder)}


def serve(make: Callable[[], Callable[[], object]]) -> None:
    """What the process of a side does: a step for each line that it reads, and in the end its peak in bytes.

    Args:
        make: builds the side and gives its step.
    """
    before = in_use()
    step = make()
    print("ready", flush=True)
    for _ in sys.stdin:
        step()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        print("done", flush=True)
    print(in_use(peak=True) - before)


class Apart:
    """A side in a process of its own, which takes a step when it is told to.

    Args:
        words: a script that calls `serve`, and its arguments.
        folder: the checkout whose package the script imports; by default the one that this process would import.
    """

    def __init__(self, words: Sequence[str], folder: Path | None = None) -> None:
        command, environment = [sys.executable, *words], importing(folder) if folder else None
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._wait()

    def step(self) -> None:
        """Take a step."""
        print(file=self._process.stdin, flush=True)
        self._wait()

    def end(self) -> int:
        """Bytes at the peak of its steps, less what it held after its imports."""
        return int(self._process.communicate()[0])

    def _wait(self) -> None:
        if not (self._process.stdout and self._process.stdout.readline()):
            raise RuntimeError("The process of one side has ended: its error is above.")


def compare(name: str, words: Sequence[str], rounds: int, share: int = 1) -> dict[str, Any]:
    """Seconds and memory of both sides, which take turns; printed as a line of a table.

    Args:
        name: of the line.
        words: the script and its arguments, the name of the side left out at their end.
        rounds: steps that count, after two to warm up.
        share: what the medians are divided by, if what a process does at a time is so many steps.
    """
    sides = {kind: Apart([*words, kind]) for kind in SIDES}
    seconds = interleaved({kind: side.step for kind, side in sides.items()}, rounds, warmup=2)
    medians = {kind: statistics.median(values) / share for kind, values in seconds.items()}
    ratio = median_ratio(seconds["edge_by_edge"], seconds["fan_out"])
    memory = {kind: side.end() for kind, side in sides.items()}
    saved = memory["fan_out"] / memory["edge_by_edge"]
    slow, fast = (f"{medians[kind]:>10.3f} s" for kind in SIDES)
    large, small = (f"{memory[kind] / 1e6:>8.0f}" for kind in SIDES)
    print(f"{name:32}{slow}{fast}{ratio:>8.2f}{large}{small}{saved:>8.2f}", flush=True)
    return {"seconds": seconds, "median": medians, "ratio": ratio, "peak_memory": memory, "memory_ratio": saved}


def heading(first: str) -> str:
    """The heads of the columns that `compare` prints."""
    return f"{first:32}{'reference':>12}{'package':>12}{'ratio':>8}{'memory, MB':>16}{'ratio':>8}"
