"""`ParetoSearch` against random search for accuracy and latency, on tables whose true front is known.

A child is looked up: its accuracy is that on the validation images of CIFAR-10 after 200 epochs, its latency one that
was measured on a device. The figure is the hypervolume of what the first 100, 200, ... trials have found, as a share
of that of all 15,625 cells; the reference point is the median latency and the median accuracy of all cells.

    python benchmarks/pareto.py --accuracies nasbench201.csv.gz --latencies hw_nasbench201.csv.gz

The accuracies are a CSV with the columns `arch` and `cifar10_valid_acc_200ep`, such as one makes from the records of
https://github.com/D-X-Y/NATS-Bench; the latencies one with `arch` and a column of milliseconds for each device, from
https://github.com/GATECH-EIC/HW-NAS-Bench and https://github.com/HayeonLee/HELP.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import lightning as L
from harness import prepare, record
from nasbench201_table import trials_of

from lightning_nas import (
    Budget,
    CsvLatency,
    Fidelity,
    MultiTrialSearch,
    ParetoSearch,
    RandomSearch,
    TableEvaluator,
    Trial,
)
from lightning_nas.functional.pareto import hypervolume, non_dominated
from lightning_nas.spaces import NasBench201Space

SPACE = NasBench201Space()
ACCURACY = "cifar10_valid_acc_200ep"
DEVICES = {  # a graphics card, a phone, a programmable chip
    "GTX 1080 Ti": "help_1080ti_32_latency_ms",
    "Pixel 3": "hwnasbench_pixel3_latency_ms",
    "FPGA": "hwnasbench_fpga_latency_ms",
}
TRIALS, FIDELITY = 500, Fidelity(epochs=200)
STEPS = (100, 200, 300, 400, 500)
POPULATION, ROUND = 20, 10  # chosen on seeds from 1000 on


def search_of(
    method: str, evaluator: TableEvaluator, budget: Budget, population: int, round_size: int
) -> MultiTrialSearch:
    """A search that has not begun."""
    if method == "random":
        return RandomSearch(SPACE, evaluator, fidelity=FIDELITY, trials=TRIALS, budget=budget)
    return ParetoSearch(
        SPACE,
        evaluator,
        objectives={"val/accuracy": "max", "latency_ms": "min"},
        population=population,
        fidelity=FIDELITY,
        trials=TRIALS,
        round_size=round_size,
        budget=budget,
    )


def points(trials: list[Trial]) -> list[tuple[float, float]]:
    """Latency and accuracy, both as lower is better."""
    return [(trial.metrics["latency_ms"], -100 * trial.metrics["val/accuracy"]) for trial in trials]


def compare(arguments: argparse.Namespace, device: str) -> dict[str, object]:
    """The shares that both methods reach on one device."""
    evaluator = TableEvaluator(arguments.accuracies, {200: {"val/accuracy": ACCURACY}}, scale=0.01)
    latency = CsvLatency(arguments.latencies, DEVICES[device])
    accuracies, latencies = evaluator.table.rows, latency.table.rows
    everything = [(latencies[arch][DEVICES[device]], -row[ACCURACY]) for arch, row in accuracies.items()]
    reference = tuple(statistics.median(values) for values in zip(*everything, strict=True))
    true = hypervolume(everything, reference)
    results: dict[str, object] = {
        "reference": {"latency_ms": reference[0], "accuracy": -reference[1]},
        "true": {"hypervolume": true, "members": len(non_dominated(everything))},
    }
    for method in ("random", "pareto"):
        shares, begin = [], time.process_time()
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.runs):
            L.seed_everything(seed, verbose=False)
            found = points(
                trials_of(search_of(method, evaluator, Budget([latency]), arguments.population, arguments.round_size))
            )
            shares.append([hypervolume(found[:step], reference) / true for step in STEPS])
        seconds = (time.process_time() - begin) / arguments.runs
        columns = list(zip(*shares, strict=True))
        means, deviations = [statistics.mean(c) for c in columns], [statistics.stdev(c) for c in columns]
        text = "".join(f"{f'{mean:.3f} +- {sd:.3f}':>18}" for mean, sd in zip(means, deviations, strict=True))
        print(f"{device:14}{method:8}{text}{seconds:>8.2f}", flush=True)
        results[method] = {"mean": means, "sd": deviations, "seconds": seconds, "shares": shares}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accuracies", type=Path, required=True, help="CSV of the benchmark's accuracies")
    parser.add_argument("--latencies", type=Path, required=True, help="CSV of latencies on devices")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--devices", nargs="*", choices=list(DEVICES), default=list(DEVICES))
    parser.add_argument("--population", type=int, default=POPULATION)
    parser.add_argument("--round-size", type=int, default=ROUND)
    parser.add_argument("--output", type=Path, help="keep a JSON record")
    arguments = parser.parse_args()
    prepare(threads=1)
    print(f"{'device':14}{'method':8}" + "".join(f"{step:>18}" for step in STEPS) + f"{'CPU s':>8}")
    results = {device: compare(arguments, device) for device in arguments.devices}
    settings = {"accuracy": ACCURACY, "devices": {name: DEVICES[name] for name in arguments.devices}}
    settings |= {name: getattr(arguments, name) for name in ("runs", "first_seed", "population", "round_size")}
    record("pareto", results, settings | {"trials": STEPS}, arguments.output)


if __name__ == "__main__":
    main()
