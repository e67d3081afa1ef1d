"""The table and the picture of the ladder's results."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nasbench201_search import CHANCE, read_run
from numpy.typing import NDArray
from rank_correlation import correlations

CONVERTED = ("random-200", "random-12", "rl-200", "rl-12")
LABELS = {
    "random-200": "random search, 200 epochs",
    "random-12": "random search, 12 epochs",
    "rl-200": "RL, 200 epochs",
    "rl-12": "RL, 12 epochs",
    "random-small": "random search, small children",
    "rl-inherited": "RL, inherited weights",
    "enas": "ENAS",
    "random-sharing": "random sharing",
    "darts-1": "DARTS, first order",
    "darts-2": "DARTS, second order",
    "gdas": "GDAS",
}
STYLES = {  # colour and marker; random search is grey, RL black
    "random-200": ("0.55", "o"),
    "random-12": ("0.55", "s"),
    "rl-200": ("black", "o"),
    "rl-12": ("black", "s"),
    "random-small": ("0.55", "D"),
    "rl-inherited": ("black", "D"),
    "enas": ("tab:red", "^"),
    "random-sharing": ("tab:orange", "v"),
    "darts-1": ("tab:blue", "<"),
    "darts-2": ("tab:cyan", ">"),
    "gdas": ("tab:green", "P"),
}
LEVELS = (60, 70, 80, 85, 90, 92, 93, 94)
TOP = 95.0  # the accuracy axis is logarithmic in the distance to it


@dataclass(frozen=True)
class Row:
    """A rung: accuracy and seconds of each seed."""

    name: str
    accuracies: tuple[float, ...]
    seconds: tuple[float, ...]

    @property
    def deviation(self) -> float:
        return statistics.stdev(self.accuracies) if len(self.accuracies) > 1 else 0.0


def summarize(results: Path, setting: str, names: list[str]) -> list[Row]:
    """The rungs that are complete in some seed, printed."""
    machine = read_run(results / f"{setting}-epoch_seconds.json").get("results")
    rows = []
    for name in names:
        accuracies, seconds = [], []
        for path in sorted(results.glob(f"{setting}-{name}-[0-9]*.json")):
            entry = read_run(path)
            if not entry.get("complete"):
                continue
            if name in CONVERTED:
                if machine is None:
                    continue
                seconds.append(entry["trained_epochs"] * (machine["intercept"] + machine["slope"] * entry["mean_macs"]))
            else:
                seconds.append(entry["seconds"])
            accuracies.append(entry["accuracy"] if "accuracy" in entry else entry["epochs"][-1]["accuracy"])
        if accuracies:
            rows.append(Row(name, tuple(accuracies), tuple(seconds)))
    print(f"{'rung':32}{'seeds':>6}{'test accuracy, %':>18}{'worst':>8}{'best':>8}{'seconds':>14}  cost")
    for row in rows:
        text = f"{statistics.mean(row.accuracies):.2f} +- {row.deviation:.2f}"
        kind = "converted" if row.name in CONVERTED else "measured"
        print(
            f"{LABELS.get(row.name, row.name):32}{len(row.accuracies):>6}{text:>18}{min(row.accuracies):>8.2f}"
            f"{max(row.accuracies):>8.2f}{statistics.mean(row.seconds):>14,.0f}  {kind}"
        )
    for label, accuracy in CHANCE.items():
        print(f"{label:38}{accuracy:>18.2f}")
    if machine is not None:
        print(
            f"a converted epoch takes {machine['intercept']:.1f} + {machine['slope']:.3f} * MACs in millions seconds, "
            f"R^2 {machine['r2']:.3f} on five cells"
        )
    return rows


def summarize_rewards(results: Path, setting: str) -> None:
    """What the rewards of children that are trained here agree with: their true accuracy, and their number."""
    for name in ("rl-inherited", "random-small"):
        for path in sorted(results.glob(f"{setting}-{name}-[0-9]*.json")):
            entry = read_run(path)
            rewards, truth = entry["rewards"], entry["truth"]
            number = [float(index) for index in range(len(rewards))]
            tau, later = (correlations(rewards, values)["kendall"] for values in (truth, number))
            part = max(len(rewards) // 5, 1)
            ends = [statistics.mean(x) for x in (rewards[:part], rewards[-part:], truth[:part], truth[-part:])]
            print(
                f"{path.stem}: Kendall's tau of rewards with the truth {tau:.2f}, with the child's number {later:.2f}; "
                f"first and last fifth: rewards {ends[0]:.2f}, {ends[1]:.2f}, truth {ends[2]:.1f}, {ends[3]:.1f}"
            )


UNITS = {"1 min": 60.0, "1 h": 3600.0, "1 day": 86_400.0, "1 month": 2_629_800.0, "1 year": 31_557_600.0}
CAPTION = (
    "Large marks: mean over the seeds, with the standard deviation, cut at the best cell; small dots: single seeds.\n"
    "Filled: seconds measured. Hollow: children looked up in the table, their epochs converted by the seconds that\n"
    "five cells take. The accuracy axis is stretched towards the best cell."
)


def draw(rows: list[Row], output: Path) -> None:
    """Cost on a logarithmic axis, accuracy on the other: one mark a rung, and a dot for each of its seeds."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("function", functions=(stretched, unstretched))
    for label, accuracy in CHANCE.items():
        axes.axhline(accuracy, color="0.6", linestyle="--", linewidth=0.8, zorder=0)
        place = ("axes fraction", "data")
        axes.annotate(label, (0.62, accuracy), (0, 3), place, "offset points", ha="right", fontsize=8, color="0.4")
    for row in rows:
        mark(axes, row)
    lowest = min(min(row.accuracies) for row in rows)
    axes.set_ylim(lowest - 4, TOP - 0.35)
    axes.set_yticks([level for level in LEVELS if level > lowest - 4], minor=False)
    axes.set_xlim(right=3 * max(max(row.seconds) for row in rows))
    axes.set_xlabel("cost of the search, seconds of this machine")
    axes.set_ylabel("true test accuracy of the cell found, %")
    times = axes.secondary_xaxis("top")
    times.set_xticks(list(UNITS.values()), list(UNITS))
    times.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=9, title="rung (number of seeds)", title_fontsize=9)
    figure.supxlabel(CAPTION, fontsize=8)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=120)


def stretched(accuracy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Place on the accuracy axis."""
    return -np.log(np.maximum(TOP - accuracy, 1e-6))


def unstretched(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Its inverse."""
    return TOP - np.exp(-place)


def mark(axes: Axes, row: Row) -> None:
    """Mean and standard deviation of a rung, and its seeds."""
    colour, marker = STYLES.get(row.name, ("tab:purple", "X"))
    mean = statistics.mean(row.accuracies)
    axes.plot(row.seconds, row.accuracies, ".", color=colour, markersize=6, alpha=0.5, zorder=2)
    axes.errorbar(
        statistics.mean(row.seconds),
        mean,
        [[row.deviation], [min(row.deviation, CHANCE["best cell"] - mean)]],
        color=colour,
        marker=marker,
        markerfacecolor="white" if row.name in CONVERTED else colour,
        markersize=8,
        markeredgewidth=1.5,
        linewidth=1.2,
        capsize=3,
        linestyle="none",
        label=f"{LABELS.get(row.name, row.name)} ({len(row.seconds)})",
        zorder=3,
    )
