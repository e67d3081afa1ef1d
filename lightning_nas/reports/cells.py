"""Pictures of cells: states from left to right, and an arc with its operation for each edge."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path as Curve

from lightning_nas.architecture.edges import Edge, EdgeGroup
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.runtime.files import write_atomically
from lightning_nas.spaces.base import SupernetSpace

_COLUMN, _LEVEL = 1.45, 0.36  # inches between two states, and between two heights of arcs
_BOX = 0.17  # half the height of a state
_NO_CONNECTION = "none"
_GREY = "0.65"

Connections: TypeAlias = tuple[tuple[Edge, str], ...]
"""Kept edges of one cell with their operations."""


@runtime_checkable
class HasLooseEnds(Protocol):
    """A space whose cells concatenate only the nodes that no edge reads."""

    def loose_ends(self, genotype: Genotype) -> Mapping[str, tuple[int, ...]]:
        """These nodes, by group."""


@runtime_checkable
class HasPanels(Protocol):
    """A space whose groups are to be drawn together."""

    def panels(self, genotype: Genotype) -> Mapping[str, Connections]:
        """The edges of each panel, under the name of the group whose states it shows."""


def draw_genotype(space: SupernetSpace, genotype: Genotype) -> Figure:
    """The cells of a genotype, one panel for each cell type, or for what the space draws together.

    A cell with two inputs (sources before its first node) gives its nodes concatenated, or its loose ends where the
    space says which they are; a cell with one input gives its last node. An arc is the higher the more states it
    passes, so labels do not lie on each other.

    Args:
        space: the space of the genotype.
        genotype: what to draw.

    Raises:
        ValueError: the genotype is none of the space.

    Example:
        >>> from lightning_nas.spaces import published
        >>> [panel.get_title(loc="left") for panel in draw_genotype(*published("DARTS_V2")).axes]
        ['normal', 'reduce']
    """
    genotype = space.check(genotype)
    cells = space.panels(genotype) if isinstance(space, HasPanels) else space.connections(genotype)
    operations = sorted({name for group in space.groups.values() for name in group.candidates} - {_NO_CONNECTION})
    colors = {name: f"C{index % 10}" for index, name in enumerate(operations)} | {_NO_CONNECTION: _GREY}
    sizes = [_size(space.groups[name], edges) for name, edges in cells.items()]
    ends = space.loose_ends(genotype) if isinstance(space, HasLooseEnds) else {}
    width, heights = max(width for width, _ in sizes), [height for _, height in sizes]
    figure = Figure(figsize=(width, sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(cells), squeeze=False, height_ratios=heights)[:, 0]
    for panel, (name, edges), (_, height) in zip(panels, cells.items(), sizes, strict=True):
        panel.set_title(name, loc="left", fontsize=11, fontweight="bold")
        panel.set(xlim=(-0.6 * _COLUMN, width - 0.6 * _COLUMN), ylim=(-0.8, height - 0.8), aspect="equal")
        panel.set_axis_off()
        _draw_cell(panel, space.groups[name], edges, colors, ends.get(name))
    return figure


def picture_bytes(figure: Figure) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()


def save_picture(figure: Figure, path: str | Path) -> Path:
    """Write the figure atomically as PNG.

    Args:
        figure: what to write.
        path: the file to write or replace.
    """
    return write_atomically(path, picture_bytes(figure))


def _size(group: EdgeGroup, edges: Connections) -> tuple[float, float]:
    columns = 1 + max(edge.node for edge in group.edges) + _concatenates(group)
    span = max((edge.node - edge.source for edge, _ in edges), default=0)
    return _COLUMN * (columns + 0.2), _LEVEL * (span + 1) + 1.0


def _inputs(group: EdgeGroup) -> int:
    return min(edge.node for edge in group.edges)


def _concatenates(group: EdgeGroup) -> bool:
    return _inputs(group) > 1


def _draw_cell(
    panel: Axes, group: EdgeGroup, edges: Connections, colors: dict[str, str], ends: Collection[int] | None
) -> None:
    inputs, states = _inputs(group), 1 + max(edge.node for edge in group.edges)
    drawn: set[tuple[int, int]] = set()
    for edge, operation in sorted(edges, key=lambda pair: (pair[0].node, pair[0].source)):
        # Two slots of a node may read the same state: the second arc passes above the first.
        extra = 0.5 if (edge.node, edge.source) in drawn else 0.0
        drawn.add((edge.node, edge.source))
        _draw_edge(panel, edge, extra, operation, colors[operation])
    names = [f"$c_{{k-{inputs - i}}}$" if inputs > 1 else "input" for i in range(inputs)]
    names += [str(node - inputs) for node in range(inputs, states)]
    if _concatenates(group):
        names.append("$c_k$")
        for node in range(inputs, states) if ends is None else ends:
            _draw_output(panel, node, states)
    else:
        names[-1] = "output"
    for state, name in enumerate(names):
        is_node = inputs <= state < len(names) - 1
        box = {"boxstyle": "round,pad=0.35", "facecolor": "#e8f0fa" if is_node else "#e9f5e1", "edgecolor": "0.3"}
        panel.text(state * _COLUMN, 0, name, ha="center", va="center", fontsize=9, bbox=box, zorder=4)


def _draw_edge(panel: Axes, edge: Edge, extra: float, operation: str, color: str) -> None:
    span = edge.node - edge.source
    height = _BOX + _LEVEL * (span + extra)
    # Arcs leave on the right of a box and arrive on the left, longer ones nearer to the middle.
    aside = max(0.15 - 0.03 * (span + extra - 1), 0.0)
    start, end = (edge.source + aside) * _COLUMN, (edge.node - aside) * _COLUMN
    absent = operation == _NO_CONNECTION
    _arrow(panel, (start, _BOX), (end, _BOX), height, color, ":" if absent else "-", "-" if absent else "-|>")
    label = {"boxstyle": "round,pad=0.1", "facecolor": "white", "edgecolor": "none"}
    middle = (edge.source + edge.node) / 2 * _COLUMN
    panel.text(middle, height, operation, ha="center", va="center", fontsize=8, color=color, bbox=label, zorder=3)


def _draw_output(panel: Axes, node: int, output: int) -> None:
    depth = -_BOX - 0.12 * (output - node)
    _arrow(panel, (node * _COLUMN, -_BOX), (output * _COLUMN, -_BOX), depth, _GREY, "-", "-|>")


def _arrow(
    panel: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    height: float,
    color: str,
    line: str,
    style: str,
) -> None:
    # A cubic curve with both handles at 4/3 of the height has its top at the height.
    top = start[1] + (height - start[1]) * 4 / 3
    lean = 0.25 * (end[0] - start[0])
    curve = Curve(
        [start, (start[0] + lean, top), (end[0] - lean, top), end],
        [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4],
    )
    panel.add_patch(
        FancyArrowPatch(
            path=curve, arrowstyle=style, mutation_scale=9, color=color, linestyle=line, linewidth=1.2, zorder=2
        )
    )
