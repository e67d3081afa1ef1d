"""Charts: probabilities of candidates as a heat map, and fronts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from lightning_nas.architecture.edges import Edge, EdgeGroup
from lightning_nas.functional.pareto import non_dominated
from lightning_nas.trials.objectives import Direction


def draw_probabilities(group: EdgeGroup, probabilities: Tensor) -> Figure:
    """One edge a row, one candidate a column; the numbers stand in the fields.

    Args:
        group: names the rows and columns.
        probabilities: (edges, candidates), floating.

    Example:
        >>> import torch
        >>> group = EdgeGroup("normal", (Edge(1, 0),), ("skip_connect", "none"))
        >>> figure = draw_probabilities(group, torch.tensor([[0.25, 0.75]]))
        >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
        ['0 to 1']
    """
    rows, columns = group.shape
    values = probabilities.detach().float().cpu().tolist()
    figure = Figure(figsize=(1.6 + 0.75 * columns, 1.4 + 0.3 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    panel.imshow(values, vmin=0.0, vmax=1.0, cmap="Blues", aspect="auto")
    panel.set_title(group.name, loc="left", fontsize=11, fontweight="bold")
    panel.set_xticks(range(columns), group.candidates, rotation=35, ha="right", fontsize=8)
    panel.set_yticks(range(rows), [_name(edge) for edge in group.edges], fontsize=8)
    for row in range(rows):
        for column in range(columns):
            value = values[row][column]
            color = "white" if value > 0.6 else "black"
            panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=color)
    return figure


def _name(edge: Edge) -> str:
    """States count from 0, the inputs of the cell first."""
    return f"{edge.source} to {edge.node}" + ("" if edge.slot is None else f", input {edge.slot}")


Rows = Sequence[Sequence[float]]
"""A value for each objective, in their order."""


def draw_front(objectives: Mapping[str, Direction], front: Rows, others: Rows) -> Figure:
    """Members of the front over what else was seen; a staircase bounds what the members of a panel dominate.

    Args:
        objectives: "max" or "min" by metric; the first one is drawn upwards.
        front: its members.
        others: all that was compared.

    Example:
        >>> figure = draw_front({"accuracy": "max", "ms": "min"}, [(0.9, 5), (0.7, 2)], [(0.9, 5), (0.7, 2), (0.6, 4)])
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('ms (min)', 'accuracy (max)')
    """
    first, *rest = objectives
    figure = Figure(figsize=(5.2 * len(rest), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    for column, (panel, name) in enumerate(zip(figure.subplots(1, len(rest), squeeze=False)[0], rest, strict=True), 1):
        cloud, points = ([(row[column], row[0]) for row in rows] for rows in (others, front))
        _draw(panel, cloud, points, (objectives[name], objectives[first]))
        panel.set_xlabel(f"{name} ({objectives[name]})")
        panel.set_ylabel(f"{first} ({objectives[first]})")
    return figure


def _draw(
    panel: Axes,
    cloud: Sequence[tuple[float, float]],
    points: Sequence[tuple[float, float]],
    directions: tuple[Direction, Direction],
) -> None:
    x, y = zip(*cloud, strict=True)
    panel.scatter(x, y, s=9, color="0.75", linewidths=0, label="evaluated")
    right, up = (-1.0 if direction == "max" else 1.0 for direction in directions)
    corners = non_dominated([(right * x, up * y) for x, y in points])
    staircase = sorted(points[index] for index in corners)
    x, y = zip(*staircase, strict=True)
    panel.step(x, y, where="post" if directions[0] == "min" else "pre", color="tab:blue", linewidth=1)
    x, y = zip(*points, strict=True)
    panel.scatter(x, y, s=22, color="tab:blue", zorder=3, label="front")
    panel.legend(loc="best", fontsize=8)
    panel.grid(color="0.92")
    panel.set_axisbelow(True)
