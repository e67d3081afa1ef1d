"""The table and the picture of the ladder's results."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from nasbench201_search import CHANCE, read_run

CONVERTED = ("random-200", "random-12", "rl-200", "rl-12")
MARKS = "oosD^vPXs<>"
ANNOTATION = (("axes fraction", "data"), "offset points")
LABELS = {
    "random-200": "random search, 200 epochs",
    "random-12": "random search, 12 epochs",
    "rl-200": "RL, 200 epochs",
    "rl-12": "RL, 12 epochs",
    "rl-inherited": "RL, inherited weights",
    "random-small": "random search, small children",
    "enas": "ENAS",
    "random-sharing": "random sharing",
    "darts-1": "DARTS, first order",
    "darts-2": "DARTS, second order",
    "gdas": "GDAS",
}


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


UNITS = {"1 min": 60.0, "1 h": 3600.0, "1 day": 86_400.0, "1 month": 2_629_800.0, "1 year": 31_557_600.0}
CAPTION = (
    "Large marks: mean and standard deviation over the seeds; small dots: single seeds. Filled: seconds measured\n"
    "on this machine. Hollow: children looked up, their epochs converted by the seconds measured for five cells."
)


def draw(rows: list[Row], output: Path) -> None:
    """Cost on a logarithmic axis, accuracy on the other: one mark a rung, and a dot for each of its seeds."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for label, accuracy in CHANCE.items():
        axes.axhline(accuracy, color="0.6", linestyle="--", linewidth=0.8, zorder=0)
        axes.annotate(label, (1.0, accuracy), (-4, 3), *ANNOTATION, ha="right", fontsize=8, color="0.4")
    for number, row in enumerate(rows):
        mark(axes, row, f"C{number % 10}", MARKS[number % len(MARKS)])
    axes.set_xscale("log")
    axes.set_xlabel("cost of the search, seconds of this machine")
    axes.set_ylabel("true test accuracy of the cell found, %")
    times = axes.secondary_xaxis("top")
    times.set_xticks(list(UNITS.values()), list(UNITS))
    times.minorticks_off()
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right", fontsize=8, title="rung (number of seeds)", title_fontsize=8)
    figure.supxlabel(CAPTION, fontsize=8)
    output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(output, dpi=120)


def mark(axes: Axes, row: Row, colour: str, marker: str) -> None:
    """Mean and standard deviation of a rung, and its seeds."""
    face = "white" if row.name in CONVERTED else colour
    axes.plot(row.seconds, row.accuracies, ".", color=colour, markersize=5, alpha=0.55, zorder=2)
    axes.errorbar(
        statistics.mean(row.seconds),
        statistics.mean(row.accuracies),
        row.deviation,
        color=colour,
        marker=marker,
        markerfacecolor=face,
        markersize=9,
        markeredgewidth=1.8,
        capsize=4,
        linestyle="none",
        label=f"{LABELS.get(row.name, row.name)} ({len(row.seconds)})",
        zorder=3,
    )
