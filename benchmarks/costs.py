"""Costs against the truth: the table of NAS-Bench-201, and latencies that are measured.

    python benchmarks/costs.py --part table --table nasbench201.csv.gz
    python benchmarks/costs.py --part latency

The first compares the parameters and the multiply-accumulates of all 15,625 cells with the table's, for each of its
three data sets, and says how long the package takes for them. Its MACs, in millions, have five decimals and count the
classifier's biases. The table is a CSV with the columns `arch`, `*_params` and `*_mflops` of cifar10, cifar100 and
imagenet16_120, such as one makes from the records of https://github.com/D-X-Y/NATS-Bench.

The second measures random children of the DARTS space and compares their latencies with the sums of a table that was
measured before, `TableLatency`. Children take turns in an order that is drawn anew in each round.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from harness import correlations, prepare, record

from lightning_nas import CellSkeleton, Genotype, Macs, MeasuredLatency, Parameters, TableLatency
from lightning_nas.costs.latency_files import LatencyTable
from lightning_nas.costs.measured import latencies
from lightning_nas.costs.networks import random_images
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import DartsSpace, NasBench201Space

DATASETS = {"cifar10": (10, 32), "cifar100": (100, 32), "imagenet16_120": (120, 16)}  # classes, image size
BUILT = 200  # cells of each data set that are built besides, as the cost of a single genotype is


def table_part(path: Path) -> dict[str, Any]:
    """Parameters and MACs of all cells: how many equal the table's."""
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    space = NasBench201Space()
    genotypes = [space.parse(row["arch"]) for row in rows]
    results: dict[str, Any] = {"cells": len(rows)}
    print(f"{'data set':16}{'cost':8}{'equal':>8}{'of':>8}{'seconds for all':>18}{'built: equal':>14}{'ms a cell':>12}")
    for name, (classes, size) in DATASETS.items():
        skeleton = space.skeleton(classes=classes)
        for cost, column, unit in ((Parameters(), "params", 1.0), (Macs(size, biases=True), "mflops", 1e-6)):
            truth = [float(row[f"{name}_{column}"]) for row in rows]
            begin = time.perf_counter()
            terms = cost.terms(space, skeleton)
            found = [terms.total(space.selection(genotype)) * unit for genotype in genotypes]
            seconds = time.perf_counter() - begin
            equal = sum(abs(one - other) < 5e-6 for one, other in zip(found, truth, strict=True))
            sampled = random.Random(0).sample(range(len(rows)), BUILT)
            begin = time.perf_counter()
            built = sum(cost(space, genotypes[i], skeleton) * unit == found[i] for i in sampled)
            each = 1e3 * (time.perf_counter() - begin) / BUILT
            print(f"{name:16}{cost.name:8}{equal:>8}{len(rows):>8}{seconds:>18.2f}{built:>11}/{BUILT}{each:>11.1f}")
            results[f"{name}/{cost.name}"] = {
                "equal": equal,
                "seconds": seconds,
                "built_equal": built,
                "built": BUILT,
                "milliseconds_built": each,
            }
    return results


def latency_part(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measured latencies of random children against the sums of a table."""
    space, batch, size = DartsSpace(), arguments.batch_size, arguments.image_size
    skeleton = CellSkeleton(cells=arguments.cells, channels=arguments.channels)
    path = arguments.latencies or Path(tempfile.mkdtemp(), "latencies.json")
    begin = time.perf_counter()
    table = TableLatency(path, arguments.device, batch, size, repetitions=100, threads=1)
    terms = table.terms(space, skeleton)
    seconds = time.perf_counter() - begin
    children = [space.sample(generator(seed, "latency")) for seed in range(arguments.children)]
    begin = time.perf_counter()
    measured, spread = measure(space, children, skeleton, arguments)
    spent = time.perf_counter() - begin
    sums = [terms.total(space.selection(child)) for child in children]
    macs = [Macs(size)(space, child, skeleton) for child in children]
    figures = {
        "sum of the table": correlations(sums, measured),
        "MACs": correlations(macs, measured),
        "half of the rounds against the others": correlations(*halves(spread)),
    }
    for child in sorted(range(len(children)), key=lambda index: measured[index]):
        print(f"child {child:>3}{measured[child]:>10.2f} ms measured{sums[child]:>10.2f} ms in the table")
    for name, found in figures.items():
        print(f"{name:40} Spearman {found['spearman']:.3f}, Kendall {found['kendall']:.3f}")
    ratio = statistics.median(one / other for one, other in zip(sums, measured, strict=True))
    entries = len(LatencyTable(path, "").entries)
    print(f"sum / measured {ratio:.3f}; {entries} entries measured in {seconds:.0f} s, children in {spent:.0f} s")
    return {
        "correlation": figures,
        "sum_by_measured": ratio,
        "entries": entries,
        "seconds_table": seconds,
        "seconds_children": spent,
        "measured_ms": measured,
        "sums_ms": sums,
        "macs": macs,
        "fixed_ms": terms.fixed,
    }


def measure(
    space: DartsSpace, children: list[Genotype], skeleton: CellSkeleton, arguments: argparse.Namespace
) -> tuple[list[float], list[list[float]]]:
    """The medians over all rounds, and the latency of each child in each round."""
    cost = MeasuredLatency(arguments.device, arguments.batch_size, arguments.image_size, threads=1)
    device = torch.device(arguments.device)
    size = (arguments.image_size, arguments.image_size)
    images = random_images(arguments.batch_size, skeleton.in_channels, *size, device=device)
    networks = [cost.build(space, child, skeleton) for child in children]
    rounds: list[list[float]] = [[] for _ in children]
    order = list(range(len(children)))
    with torch.inference_mode():
        for _ in range(arguments.rounds):
            random.shuffle(order)
            runs = {index: (lambda network=networks[index]: network(images)) for index in order}
            for index, latency in latencies(runs, device, warmup=1, repetitions=3).items():
                rounds[index].append(latency.median)
    return [statistics.median(found) for found in rounds], rounds


def halves(rounds: list[list[float]]) -> tuple[list[float], list[float]]:
    """Medians of every second round, and of the others: how well a measurement agrees with itself."""
    return [statistics.median(found[::2]) for found in rounds], [statistics.median(found[1::2]) for found in rounds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("table", "latency"), required=True)
    parser.add_argument("--table", type=Path, help="CSV of NAS-Bench-201, for --part table")
    parser.add_argument("--latencies", type=Path, help="keep the latency table in this JSON file, or use it")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--children", type=int, default=30)
    parser.add_argument("--cells", type=int, default=8)
    parser.add_argument("--channels", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=1)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--output", type=Path, help="keep a JSON record")
    arguments = parser.parse_args()
    prepare(threads=1)
    random.seed(0)
    if arguments.part == "table":
        if arguments.table is None:
            parser.error("--part table needs --table")
        results, settings = table_part(arguments.table), {"part": "table"}
    else:
        results = latency_part(arguments)
        settings = {name: str(value) for name, value in vars(arguments).items() if name not in ("output", "table")}
    record(f"costs_{arguments.part}", results, settings, arguments.output)


if __name__ == "__main__":
    main()
