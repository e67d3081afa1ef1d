"""Heat maps of architecture probabilities."""

from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import Tensor

from lightning_nas.edge import Edge, EdgeGroup


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
