"""Random search, evolution and REINFORCE on the table of NAS-Bench-201, and what rewards after few epochs save.

A search looks its children up: the reward is the validation accuracy after 12 epochs, the cost that of 12 epochs of
training, and it stops at 12,000 simulated seconds, as in the benchmark's paper. The figure is the test accuracy, after
200 epochs, of the cell with the best reward; no search sees it.

    python benchmarks/nasbench201_table.py --table nasbench201.csv.gz --runs 200
    python benchmarks/nasbench201_table.py --table nasbench201.csv.gz --runs 200 --part fidelity
    python benchmarks/nasbench201_table.py --table nasbench201.csv.gz --runs 200 --part halving
    python benchmarks/nasbench201_table.py --table nasbench201.csv.gz --part harness

The second compares the simulated seconds until the cell with the best reward has some final accuracy, for rewards
after 12 and after 200 epochs; the third does so for 200 epochs and for successive halving from 12 to 200; the last is
the time that 1,000 trials take inside `Trainer.fit`.

The table is a CSV with the columns `arch`, `cifar10valid_train_seconds_per_epoch`, `cifar10_valid_acc_12ep`,
`cifar10_valid_acc_200ep` and `cifar10_test_acc_200ep`, such as one makes from the records of
https://github.com/D-X-Y/NATS-Bench.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import lightning as L
from children import fitted
from harness import interleaved, median_ratio, prepare, record

from lightning_nas import (
    Adam,
    Fidelity,
    LogitsController,
    LstmController,
    MultiTrialSearch,
    RegularizedEvolution,
    Reinforce,
    Sampler,
    SuccessiveHalving,
    TableEvaluator,
    Trial,
    UniformSampler,
)
from lightning_nas.spaces import NasBench201Space

BUDGET = 12_000.0
SPACE = NasBench201Space()
RULE = Reinforce(baseline_decay=0.9)
SAMPLERS: dict[str, Callable[[Fidelity], Sampler]] = {
    "random": lambda fidelity: UniformSampler(SPACE, fidelity),
    "evolution": lambda fidelity: RegularizedEvolution(SPACE, 10, 3, fidelity),
    "reinforce": lambda fidelity: LogitsController(SPACE, RULE, Adam(0.1, (0.9, 0.999), 0.0), fidelity),
    "reinforce-lstm": lambda fidelity: LstmController(
        SPACE, rule=RULE, optimizer=Adam(0.01, (0.9, 0.999), 0.0), fidelity=fidelity
    ),
}
PUBLISHED = {"random": "93.70 +- 0.36", "evolution": "93.92 +- 0.30", "reinforce": "93.85 +- 0.37"}
LEVELS = (93.0, 93.5, 93.75, 94.0)


def run(evaluator: TableEvaluator, sampler: Sampler, seed: int, trials: int, seconds: float | None) -> list[Trial]:
    """The trials of one search."""
    L.seed_everything(seed, verbose=False)
    return trials_of(MultiTrialSearch(sampler, evaluator, trials=trials, max_seconds=seconds))


def trials_of(search: MultiTrialSearch) -> list[Trial]:
    """All trials of a search, which is run."""
    with tempfile.TemporaryDirectory() as folder:
        return fitted(search, Path(folder))


def within(trials: list[Trial], budget: float) -> list[Trial]:
    """The trials that were finished in time."""
    spent = itertools.accumulate(trial.seconds for trial in trials)
    return [trial for trial, seconds in zip(trials, spent, strict=True) if seconds <= budget]


def found(trials: list[Trial]) -> float:
    """True test accuracy, in percent, of the cell with the best reward."""
    return 100 * max(trials, key=lambda trial: trial.reward or 0.0).metrics["test/accuracy"]


def seconds_to(trials: list[Trial], level: float) -> float:
    """Simulated seconds until the cell with the best reward so far has a test accuracy; infinite if it never has."""
    spent, best = 0.0, (0, -1.0)
    accuracy = 0.0
    for trial in trials:
        spent += trial.seconds
        worth = (trial.proposal.fidelity.epochs, trial.reward or 0.0)  # rewards after different times do not compare
        if worth > best:
            best, accuracy = worth, 100 * trial.metrics["test/accuracy"]
        if accuracy >= level:
            return spent
    return float("inf")


def compare(evaluator: TableEvaluator, methods: list[str], runs: int, first: int) -> dict[str, object]:
    """The cells that are found within the budget."""
    results: dict[str, object] = {}
    print(f"{'method':18}{'test accuracy':>16}{'published':>16}{'trials':>8}{'s/run':>8}")
    for method in methods:
        accuracies, counts, begin = [], [], time.perf_counter()
        for seed in range(first, first + runs):
            trials = within(run(evaluator, sampler_of(method, seed, 12), seed, 2000, BUDGET), BUDGET)
            accuracies.append(found(trials))
            counts.append(len(trials))
        mean, deviation = statistics.mean(accuracies), statistics.stdev(accuracies)
        trials_mean, seconds = statistics.mean(counts), (time.perf_counter() - begin) / runs
        text = f"{mean:.2f} +- {deviation:.2f}"
        print(f"{method:18}{text:>16}{PUBLISHED.get(method, ''):>16}{trials_mean:>8.0f}{seconds:>8.2f}", flush=True)
        results[method] = {"mean": mean, "sd": deviation, "trials": trials_mean, "accuracies": accuracies}
    return results


def fidelity(evaluator: TableEvaluator, methods: list[str], runs: int, first: int) -> dict[str, object]:
    """Seconds to equal final accuracy, for rewards after 12 and after 200 epochs."""
    results: dict[str, object] = {}
    print(f"{'method':12}{'level':>8}{'12 epochs':>16}{'200 epochs':>16}{'ratio':>8}   reached (12, 200)")
    for method in methods:
        histories = {
            epochs: [run(evaluator, sampler_of(method, s, epochs), s, 400, None) for s in range(first, first + runs)]
            for epochs in (12, 200)
        }
        for level in LEVELS:
            seconds = {epochs: [seconds_to(trials, level) for trials in found] for epochs, found in histories.items()}
            short, long = (statistics.median(seconds[epochs]) for epochs in (12, 200))
            reached = [sum(x < float("inf") for x in seconds[epochs]) for epochs in (12, 200)]
            ratio = long / short
            print(f"{method:12}{level:>8}{short:>16.0f}{long:>16.0f}{ratio:>8.1f}   {reached}", flush=True)
            results[f"{method}-{level}"] = {"12": short, "200": long, "ratio": ratio, "reached": reached}
        final = {epochs: [found(trials) for trials in histories[epochs]] for epochs in (12, 200)}
        text = ", ".join(f"{epochs}: {statistics.mean(final[epochs]):.2f}" for epochs in (12, 200))
        print(f"{method:12}{'after 400 trials':>20}   {text}", flush=True)
    return results


def halving(evaluator: TableEvaluator, runs: int, first: int) -> dict[str, object]:
    """Seconds to equal final accuracy for random children at 200 epochs, and when a share of those at 12 goes on."""
    results: dict[str, object] = {}
    rungs = (Fidelity(epochs=12), Fidelity(epochs=200))
    makers: dict[str, Callable[[], Sampler]] = {
        "full": lambda: UniformSampler(SPACE, rungs[-1]),
        "keep 1/3": lambda: SuccessiveHalving(UniformSampler(SPACE), rungs, keep=1 / 3),
        "keep 1/10": lambda: SuccessiveHalving(UniformSampler(SPACE), rungs, keep=1 / 10),
    }
    seeds = range(first, first + runs)
    print(f"{'strategy':12}" + "".join(f"{level:>20}" for level in LEVELS) + "   median seconds, runs that reached it")
    for name, make in makers.items():
        histories = [run(evaluator, make(), seed, 400, None) for seed in seeds]
        texts = []
        for level in LEVELS:
            seconds = [seconds_to(trials, level) for trials in histories]
            reached = sum(x < float("inf") for x in seconds)
            results[f"{name}-{level}"] = {"seconds": statistics.median(seconds), "reached": reached}
            texts.append(f"{statistics.median(seconds):>14.0f}, {reached:>4}")
        print(f"{name:12}" + "".join(texts), flush=True)
    return results


def harness(evaluator: TableEvaluator, methods: list[str]) -> dict[str, object]:
    """Seconds of 1,000 trials inside Trainer.fit, in turn, against random search, which learns nothing."""
    results: dict[str, object] = {}
    evaluator.table.rows  # noqa: B018 - read before the time is taken
    runs = {method: partial(thousand, evaluator, method) for method in dict.fromkeys(["random", *methods])}
    seconds = interleaved(runs, rounds=5)
    for method, values in seconds.items():
        median, ratio = statistics.median(values), median_ratio(values, seconds["random"])
        results[method] = {"seconds": values, "median": median, "ratio": ratio}
        print(f"{method:18}{median:>8.2f} s for 1,000 trials{ratio:>8.2f} times random search", flush=True)
    return results


def thousand(evaluator: TableEvaluator, method: str) -> list[Trial]:
    """A search of 1,000 trials."""
    return run(evaluator, sampler_of(method, 0, 12), 0, 1000, None)


def sampler_of(method: str, seed: int, epochs: int) -> Sampler:
    """A fresh sampler, whose parameters belong to the seed."""
    L.seed_everything(seed, verbose=False)
    return SAMPLERS[method](Fidelity(epochs=epochs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", type=Path, required=True, help="CSV of the benchmark's accuracies")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--part", choices=("compare", "fidelity", "halving", "harness"), default="compare")
    parser.add_argument("--methods", nargs="*", choices=list(SAMPLERS), help="all; for fidelity random and evolution")
    parser.add_argument("--output", type=Path, help="keep a JSON record")
    arguments = parser.parse_args()
    prepare(threads=1)
    columns = {
        epochs: {"val/accuracy": f"cifar10_valid_acc_{epochs}ep", "test/accuracy": "cifar10_test_acc_200ep"}
        for epochs in (12, 200)
    }
    evaluator = TableEvaluator(arguments.table, columns, "cifar10valid_train_seconds_per_epoch", scale=0.01)
    methods = arguments.methods or (["random", "evolution"] if arguments.part == "fidelity" else list(SAMPLERS))
    if arguments.part == "harness":
        results = harness(evaluator, methods)
    elif arguments.part == "halving":
        results = halving(evaluator, arguments.runs, arguments.first_seed)
    else:
        part = compare if arguments.part == "compare" else fidelity
        results = part(evaluator, methods, arguments.runs, arguments.first_seed)
    settings = {"part": arguments.part, "runs": arguments.runs, "first_seed": arguments.first_seed, "methods": methods}
    record("nasbench201_table", results, settings, arguments.output)


if __name__ == "__main__":
    main()
