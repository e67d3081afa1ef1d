"""Sections of `gpu.py`: where the time of a step goes, and what compilation and CUDA graphs make of it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_device import CUDA, DEVICE, Step, busy_seconds, captured, on_device, profiled, seconds_of
from gpu_run import Section, Settings
from gpu_steps import step_of, within
from harness import interleaved, median_ratio
from search_side import STEPS, SearchSide

START = 15.0
"""Seconds that a process of its own needs for its imports."""
BUSY = 0.9
"""Share of a step's time from which on the device, and not the host, is called its bound."""


def shares(settings: Settings, section: Section) -> None:
    """Kernels and operators that take most of a step, how long the host and the device work, and who waits."""
    for name in settings.steps:
        section.item(name, lambda n=name: _shares(n, settings))


def _shares(name: str, settings: Settings) -> dict[str, Any]:
    step, times = step_of(name, settings), 1 if settings.smoke else 5
    for _ in range(3):
        step()
    issued, wall = seconds_of(step, times)
    rows = settings.profiles[name] if name in settings.profiles else profiled(step)
    kernels = [row for row in rows if on_device(row)]
    busy = sum(map(busy_seconds, kernels))
    share = min(busy / wall, 1.0)
    bound = "GPU" if share >= BUSY else "CPU"
    print(f"{name}: {wall:.4f} s, {issued:.4f} s until handed over, the device computes {busy:.4f} s: ", end="")
    print(f"idle {1 - share:.0%}, {bound}-bound")
    found = {"seconds": wall, "handed_over": issued, "busy": busy, "idle": 1 - share, "bound": bound}
    found["kernels"] = _table("kernels", kernels, busy_seconds)
    operators = [row for row in rows if not CUDA or not on_device(row)]
    found["operators, device"] = _table("operators, by the device's time", operators, busy_seconds)
    found["operators, host"] = _table("operators, by the host's time", operators, _host_seconds)
    return found


def _host_seconds(row: Any) -> float:
    return float(row.self_cpu_time_total) / 1e6


def _table(title: str, rows: list[Any], seconds: Callable[[Any], float]) -> list[tuple[str, int, float]]:
    """Names, calls and seconds of the ten largest rows, printed."""
    total = max(sum(map(seconds, rows)), 1e-12)
    print(f"  {title}")
    largest = sorted(rows, key=lambda row: -seconds(row))[:10]
    for row in largest:
        print(f"    {seconds(row) / total:>6.1%} {row.count:>8} x {row.key[:90]}")
    return [(row.key, row.count, seconds(row)) for row in largest]


def graphs(settings: Settings, section: Section) -> None:
    """An experiment: a whole DARTS step as one CUDA graph, since its shapes and operations are always the same."""
    for name in (n for n in settings.steps if n.startswith("darts")):
        section.item(name, lambda n=name: _graph(n, settings))


def _graph(name: str, settings: Settings) -> dict[str, Any]:
    eager, replayed = step_of(name, settings), captured(step_of(name, settings))
    seconds = interleaved({"eager": eager, "graph": replayed}, settings.rounds, warmup=2)
    ratio = median_ratio(seconds["eager"], seconds["graph"])
    label = "one CUDA graph" if CUDA else "no CUDA, the step itself"
    medians = " -> ".join(f"{statistics.median(found):.4f} s" for found in seconds.values())
    print(f"{name}: {medians}, {ratio:.2f} times as fast ({label})")
    return {"seconds": seconds, "ratio": ratio, "captured": CUDA}


def compiled(settings: Settings, section: Section) -> None:
    """An experiment: torch.compile of the network's or its cells' forward pass, with what compiling takes."""
    for part in settings.compile:
        for name in (n for n in settings.steps if n == "darts first order"):
            section.item(f"{name}, {part}", lambda n=name, p=part: _compiled(n, p, settings))


def _compiled(name: str, part: str, settings: Settings) -> dict[str, Any]:
    make, method = STEPS[name]
    side = SearchSide("fan_out", settings, make(), DEVICE)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    if not settings.smoke:  # every fan-out has its own number of edges, and each is a graph
        torch._dynamo.config.recompile_limit = 256
    for module in [side.network] if part == "network" else side.network.cells:
        module.compile(backend="eager" if settings.smoke else "inductor")
    step: Step = within("float32", getattr(side, method))
    began = time.perf_counter()
    step()
    step()
    first = time.perf_counter() - began
    breaks = sum(torch._dynamo.utils.counters["graph_break"].values())
    seconds = interleaved({"eager": step_of(name, settings), "compiled": step}, settings.rounds, warmup=3)
    ratio = median_ratio(seconds["eager"], seconds["compiled"])
    medians = " -> ".join(f"{statistics.median(found):.4f} s" for found in seconds.values())
    print(f"{name}, compiled by {part}: two steps with compiling {first:.1f} s, {breaks} graph breaks, ", end="")
    print(f"{medians}, {ratio:.2f} times as fast", flush=True)
    return {"compile_seconds": first, "graph_breaks": breaks, "seconds": seconds, "ratio": ratio}


def isolated(name: str) -> Callable[[Settings, Section], None]:
    """A section in a process of its own, which is ended when its time is over, and takes no other with it."""

    def run(settings: Settings, section: Section) -> None:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "record.json"
            words = [sys.executable, str(Path(__file__).with_name("gpu.py")), "--sections", name, "--alone"]
            words += ["--output", str(output), "--minutes", str(max(section.left - START, 1) / 60)]
            words += ["--rounds", str(settings.rounds), "--batch", str(settings.batch), "--steps", *settings.steps]
            words += ["--compile", *settings.compile, *(["--smoke"] if settings.smoke else [])]
            try:
                done = subprocess.run(words, timeout=section.left, capture_output=True, text=True)
                section.note("returned", done.returncode)
                section.note("errors", done.stderr[-4000:])
                print(done.stdout, end="")
                if done.returncode:
                    print(f"{name}: FAILED\n{done.stderr[-1000:]}")
            except subprocess.TimeoutExpired as error:
                print((error.stdout or b"").decode(errors="replace"), end="")
                print(f"{name}: FAILED, ended after {error.timeout:.0f} s")
                section.note("failed", f"ended after {error.timeout:.0f} s")
            if output.exists():
                section.results.update(json.loads(output.read_text())["results"][name])

    return run
