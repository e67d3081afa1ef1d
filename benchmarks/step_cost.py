"""What a first-order DARTS step costs in time and memory, one size at a time from 16 channels, 8 cells, batch 16.

A step is linear in the cells and in the batch; in the channels it lies between linear (depthwise convolutions, norms)
and quadratic (1x1 convolutions); in the nodes it follows the number of edges, n (n + 3) / 2 a cell, against which it is
drawn. Each point is a process of its own, so that its peak memory is its own; times are medians of steps. A point that
is measured is not repeated, unless `--again` is given.

    python benchmarks/step_cost.py            # ten minutes on two cores; draws benchmarks/results/step_cost.png
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib
import torch
from apart import in_use
from harness import processor, where
from matplotlib.figure import Figure
from search_side import SearchSide

from lightning_nas import Softmax
from lightning_nas.runtime.files import write_atomically
from lightning_nas.runtime.memory import keep_freed_memory

START = {"cells": 8, "channels": 16, "batch": 16, "nodes": 4}
POINTS = {
    "cells": (4, 6, 8, 12, 16, 20),
    "channels": (8, 12, 16, 24, 36),
    "batch": (8, 16, 32, 64),
    "nodes": (3, 4, 5, 6),
}
RESULTS = Path(__file__).parent / "results"


def edges(nodes: int) -> int:
    """Edges of a cell with two inputs."""
    return nodes * (nodes + 3) // 2


def measure(sizes: dict[str, int], steps: int) -> None:
    """What a child process does: prints the seconds of its steps and its peak in bytes."""
    keep_freed_memory()
    before = in_use()
    arguments = argparse.Namespace(**sizes, size=32, seed=0, checkpoint_cells=False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    side = SearchSide("fan_out", arguments, Softmax(), device)
    seconds = []
    for index in range(1 + steps):
        begin = time.perf_counter()
        side.first_order()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if index:
            seconds.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": seconds, "bytes": in_use(peak=True) - before}))


def point(sizes: dict[str, int], steps: int) -> dict[str, Any]:
    words = [sys.executable, __file__, "--measure", json.dumps(sizes), "--steps", str(steps)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {**sizes, "median": statistics.median(found["seconds"]), **found}


def line(x: list[float], y: list[float]) -> tuple[float, float, float]:
    """Slope, intercept and R^2 of the straight line through points."""
    slope, intercept = statistics.linear_regression(x, y)
    return slope, intercept, statistics.correlation(x, y) ** 2


def draw(found: dict[str, list[dict[str, Any]]], path: Path) -> dict[str, dict[str, float]]:
    """One panel a factor, with the lines of time and memory; their R^2 by factor."""
    matplotlib.use("Agg")
    figure, fits = Figure(figsize=(13, 3.4), layout="constrained"), {}
    for axis, (factor, points) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        x = [float(edges(p["nodes"]) if factor == "nodes" else p[factor]) for p in points]
        right = axis.twinx()
        fits[factor] = {}
        series = {"s": ([p["median"] for p in points], axis), "GB": ([p["bytes"] / 1e9 for p in points], right)}
        for color, (unit, (y, panel)) in zip(("tab:blue", "tab:orange"), series.items(), strict=True):
            slope, intercept, fits[factor][unit] = line(x, y)
            panel.plot(x, y, "o", color=color)
            panel.plot(x, [slope * value + intercept for value in x], "-", color=color, alpha=0.5)
            panel.set_ylim(bottom=0)
            panel.tick_params(axis="y", labelcolor=color)
            panel.set_ylabel({"s": "seconds a step", "GB": "peak memory, GB"}[unit], color=color)
        axis.set_xlabel("edges of a cell (nodes 3 to 6)" if factor == "nodes" else factor)
        axis.set_title(f"R² {fits[factor]['s']:.3f} (time), {fits[factor]['GB']:.3f} (memory)", fontsize=9)
    figure.suptitle(f"First-order DARTS step, lines fitted through the points; {processor()}", fontsize=10)
    figure.savefig(path, dpi=120)
    return fits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3, help="of each point, after one to warm up")
    parser.add_argument("--again", action="store_true", help="measure all points anew")
    parser.add_argument("--output", type=Path, default=RESULTS / "step_cost.json")
    parser.add_argument("--measure", type=json.loads, help=argparse.SUPPRESS)
    settings = parser.parse_args()
    if settings.measure:
        measure(settings.measure, settings.steps)
        return
    known: dict[str, Any] = {}
    if settings.output.exists() and not settings.again:
        known = json.loads(settings.output.read_text())["points"]
    print(f"{processor()}\n{'factor':10}{'value':>6}{'seconds':>10}{'MB':>8}")
    found: dict[str, list[dict[str, Any]]] = {}
    for factor, values in POINTS.items():
        for value in values:
            sizes = {**START, factor: value}
            name = json.dumps(sizes)
            known[name] = known.get(name) or point(sizes, settings.steps)
            found.setdefault(factor, []).append(known[name])
            print(f"{factor:10}{value:>6}{known[name]['median']:>10.3f}{known[name]['bytes'] / 1e6:>8.0f}", flush=True)
            content = {
                "benchmark": "step_cost",
                **where(),
                "settings": {"steps": settings.steps, "seed": 0},
                "points": known,
            }
            write_atomically(settings.output, json.dumps(content, indent=1) + "\n")
    fits = draw(found, settings.output.with_suffix(".png"))
    for factor, fit in fits.items():
        print(f"{factor:10} R^2 of a straight line: time {fit['s']:.4f}, memory {fit['GB']:.4f}")


if __name__ == "__main__":
    main()
