"""The table at the end of a chain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.table import Table


def accuracy_range(accuracies: Sequence[float]) -> str:
    """Mean and range in percent.

    Example:
        >>> accuracy_range([0.9, 0.8])
        'mean 85.0 %, from 80.0 to 90.0 (2 cells)'
    """
    mean, low, high = (100 * value for value in (sum(accuracies) / len(accuracies), min(accuracies), max(accuracies)))
    return f"mean {mean:.1f} %, from {low:.1f} to {high:.1f} ({len(accuracies)} cells)"


@rank_zero_only
def print_report(summary: dict[str, Any], output: Path) -> None:
    """Print what was found, what it cost, and where the files lie."""
    table = Table(title="Search finished", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("cell found", summary["cell"])
    table.add_row("parameters", f"{summary['parameters']:,}")
    table.add_row("search", f"{summary['search_seconds']:.0f} s")
    table.add_row("training", f"{summary['training_seconds']:.0f} s")
    table.add_row(f"test {summary['metric']}", f"{100 * summary['test']:.1f} %")
    if summary["random"]:
        table.add_row("random cells, trained the same way", accuracy_range(summary["random"]))
    for label, path in summary["files"].items():
        table.add_row(label, path)
    table.add_row("everything", str(output))
    Console().print(table)
