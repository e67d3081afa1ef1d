"""Edges, and the weights that an architecture puts on their candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from torch import Tensor

from lightning_nas.runtime.memory import sent


@dataclass(frozen=True)
class Edge:
    """A place where candidate operations sit: from state `source` to state `node`.

    Args:
        node: index of the state that receives.
        source: index of the state that is read.
        slot: which input of the node, where two slots may take the same source (NASNet); None where they may not.
    """

    node: int
    source: int
    slot: int | None = None

    @property
    def key(self) -> str:
        """Name of the edge in `state_dict` keys, for example `2_0`."""
        parts = (self.node, self.source) if self.slot is None else (self.node, self.slot, self.source)
        return "_".join(map(str, parts))


@dataclass(frozen=True)
class EdgeGroup:
    """Edges that share one table of architecture parameters, such as those of all normal cells.

    Args:
        name: `normal`, `reduce`, ...
        edges: in the order of the table's rows.
        candidates: in the order of the table's columns.
    """

    name: str
    edges: tuple[Edge, ...]
    candidates: tuple[str, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """(edges, candidates)."""
        return len(self.edges), len(self.candidates)


@dataclass(frozen=True)
class EdgeWeights:
    """What an architecture says of one edge group.

    Args:
        values: (edges, candidates), floating; may carry gradient.
        active: candidates to run on each edge, by index; None runs all.
        inactive_gradient: add the zero-valued weights of candidates that are not run, so that they get a gradient
            too (GDAS on NAS-Bench-201).
    """

    values: Tensor
    active: tuple[tuple[int, ...], ...] | None = None
    inactive_gradient: bool = False

    @cached_property
    def rows(self) -> tuple[Tensor, ...]:
        """The weights of each edge, (candidates,)."""
        return self.values.unbind()

    @cached_property
    def not_run(self) -> tuple[Tensor, ...]:
        """For each edge the sum of the weights of the candidates that are not run, a scalar."""
        rows, columns = self.values.shape
        active = [range(columns)] * rows if self.active is None else self.active
        mask = [[0.0 if column in run else 1.0 for column in range(columns)] for run in active]
        return (self.values * sent(mask, self.values.device, self.values.dtype)).sum(-1).unbind()


Architecture: TypeAlias = Mapping[str, EdgeWeights]
"""The argument of a supernet's forward: edge weights by group name."""


Places = Mapping[str, tuple[tuple[int, int], ...]]
"""Candidates by group: (row, column) of the tables of architecture parameters."""


@dataclass(frozen=True)
class OptionalPart:
    """A part of a supernet, outside its edges, that a child has if it has any of some candidates, or none of them.

    Args:
        name: of the module or the parameter in the supernet; of a parameter it means what is computed with it too.
        places: the candidates that it depends on.
        needed: whether a child has it with "any" or with "none" of them.
        share: which part of what bears the name it is, where one name stands for several.
    """

    name: str
    places: Places
    needed: Literal["any", "none"] = "any"
    share: float = 1.0
