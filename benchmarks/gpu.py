"""All that a GPU is asked for, in one command of at most eight minutes.

Sections, the most important first. Each starts nothing more when its share of the time is over, and leaves what it did
not need to the next ones; the record is written after each measurement. What fails is printed and noted, the rest goes
on.

- bounds: launches, operations, floating-point operations and bytes of a step, and the least time that these allow at
  the card's own copy and product rates, which are measured first.
- ratios: steps and peak memory against the edge-by-edge reference of `steps.py`, in float32 without TF32.
- search: a GDAS search by its recipe (NAS-Bench-201, 5 cells a stage, 16 channels): two epochs measured after some
  batches to warm up, extrapolated to 250 of 25,000 + 25,000 images.
- shares: kernels and operators that take most of a step, how long the device is idle, CPU-bound or GPU-bound.
- waits: steps of real fits in which torch reports each wait for the device: how often, and by which lines.
- memory: the peak of the GDAS search.
- precisions, batches, layouts: TF32 and bfloat16; batches of 64 to 512; the fan-out against edge by edge in
  channels_last.
- graphs, compile: experiments: a DARTS step as one CUDA graph, and torch.compile; each in a process of its own.

    python benchmarks/gpu.py --root FOLDER --output gpu.json        # on a machine with a GPU
    python benchmarks/gpu.py --smoke                                # anywhere: small sizes, to see that all of it runs
"""

from __future__ import annotations

import argparse
import contextlib
import io
import time
from collections.abc import Callable
from pathlib import Path

import torch
from gpu_device import CUDA
from gpu_profile import compiled, graphs, isolated, shares
from gpu_run import Section, Settings
from gpu_search import memory, search, waits
from gpu_steps import batches, bounds, layouts, precisions, ratios
from harness import prepare, processor, record
from search_side import STEPS

Run = Callable[[Settings, Section], None]
SECTIONS: dict[str, tuple[Run, float]] = {
    "bounds": (bounds, 0.08), "ratios": (ratios, 0.14), "search": (search, 0.34), "shares": (shares, 0.08),
    "waits": (waits, 0.07), "memory": (memory, 0.03), "precisions": (precisions, 0.07), "batches": (batches, 0.05),
    "layouts": (layouts, 0.03), "graphs": (isolated("graphs"), 0.05), "compile": (isolated("compile"), 0.06),
}  # fmt: skip
"""What runs, in this order, and its share of the time."""
ORDER = ["darts first order", "gdas", "darts second order"]
"""Steps, the longest last."""
HIDDEN = ("output", "profiles", "alone")
ALONE: dict[str, Run] = {"graphs": graphs, "compile": compiled}


def arguments() -> Settings:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8.0, help="the time for all sections")
    parser.add_argument("--root", type=Path, help="CIFAR-10 as folders of images; without it they are synthetic")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", nargs="+", default=ORDER, choices=list(STEPS))
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    parser.add_argument(
        "--compile", nargs="*", default=["cells", "network"], choices=["cells", "network"],
        help="what torch.compile takes; nothing leaves it out",
    )  # fmt: skip
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that all of it runs")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    settings = parser.parse_args(namespace=Settings())
    if not CUDA and not settings.smoke:
        parser.error("no CUDA device here: add --smoke for small sizes.")
    settings.cells, settings.channels, settings.size = (3, 4, 12) if settings.smoke else (8, 16, 32)
    settings.nodes = 2 if settings.smoke else 4
    settings.batch, settings.rounds = (8, 1) if settings.smoke else (settings.batch, settings.rounds)
    settings.compile = settings.compile[:1] if settings.smoke else settings.compile
    settings.seed, settings.checkpoint_cells = 0, False
    settings.profiles = {}
    return settings


def main() -> None:
    settings, begin = arguments(), time.perf_counter()
    prepare()
    torch.backends.cudnn.benchmark = False
    print(f"{processor()}, torch {torch.__version__}, CUDA {torch.version.cuda if CUDA else 'none'}", flush=True)
    results: dict[str, object] = {}
    written = {k: str(v) if isinstance(v, Path) else v for k, v in vars(settings).items() if k not in HIDDEN}
    shares_of = {name: SECTIONS[name][1] for name in SECTIONS if name in settings.sections}
    used = 0.0

    def save() -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            record("gpu", results, written, settings.output)

    for name, share in shares_of.items():
        used += share / sum(shares_of.values())
        section = Section(name, begin + 60 * settings.minutes * used, save)
        results[name] = section.results
        print(f"\n== {name} (until {section.deadline - begin:.0f} s)", flush=True)
        run, started = ALONE[name] if settings.alone else SECTIONS[name][0], time.perf_counter()
        section.item("all", lambda run=run, section=section: run(settings, section))
        if section.results.get("all") is None:
            section.results.pop("all", None)
        section.note("seconds", time.perf_counter() - started)
        save()
    print(f"\n{time.perf_counter() - begin:.0f} s in all")
    if not settings.alone:
        record("gpu", results, written, settings.output)


if __name__ == "__main__":
    main()
