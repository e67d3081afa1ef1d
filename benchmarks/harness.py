"""What all benchmarks share: interleaved medians, a table, and a JSON record of where they were measured."""

from __future__ import annotations

import json
import logging
import platform
import statistics
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning
import torch
from torchmetrics.functional import kendall_rank_corrcoef, spearman_corrcoef

from lightning_nas.costs.measured import device_name
from lightning_nas.runtime.memory import keep_freed_memory

Run = Callable[[], object]


def prepare(threads: int | None = None) -> None:
    """Keep freed memory, silence what Lightning says of every fit, and use so many CPU threads if a number is given."""
    keep_freed_memory()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    if threads:
        torch.set_num_threads(threads)


def clock() -> float:
    """Seconds for long runs: on one CPU thread those that this process computes, whatever runs beside it; else all."""
    alone = torch.get_num_threads() == 1 and not torch.cuda.is_available()
    return time.process_time() if alone else time.perf_counter()


def interleaved(runs: Mapping[str, Run], rounds: int, warmup: int = 1) -> dict[str, list[float]]:
    """Seconds of each run, taken in turn, so that a machine whose speed drifts treats all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(warmup + rounds):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if index >= warmup:
                seconds[name].append(time.perf_counter() - begin)
    return seconds


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """The median of the ratios taken pair by pair."""
    return statistics.median(s / f for s, f in zip(slow, fast, strict=True))


def processor() -> str:
    """The card's name, or the CPU's."""
    if torch.cuda.is_available():
        return device_name(torch.device("cuda"))
    return f"{device_name(torch.device('cpu'))}, {torch.get_num_threads()} threads"


def commit(folder: Path = Path(__file__).parent) -> str:
    """Short hash of the commit checked out in a folder, with a plus sign if files other than results differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, cwd=folder)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":!results")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def correlations(values: Sequence[float], truth: Sequence[float]) -> dict[str, float]:
    """Kendall's tau (b) and Spearman's rho."""
    one, other = torch.tensor(values, dtype=torch.float64), torch.tensor(truth, dtype=torch.float64)
    return {
        "kendall": torch.as_tensor(kendall_rank_corrcoef(one, other)).item(),
        "spearman": spearman_corrcoef(one, other).item(),
    }


def where() -> dict[str, Any]:
    """Commit, processor and versions of a measurement."""
    versions = {"torch": torch.__version__, "lightning": lightning.__version__, "python": platform.python_version()}
    return {"commit": commit(), "processor": processor(), "versions": versions}


def record(name: str, results: Any, settings: Mapping[str, Any], output: Path | None) -> None:
    """Keep a JSON record if `output` is given, and print it."""
    content = {"benchmark": name, **where(), "settings": dict(settings), "results": results}
    text = json.dumps(content, indent=2)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n")
    print(text)
