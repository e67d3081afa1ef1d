"""Edges, the weights that an architecture puts on their candidates, and how the candidates are executed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias, cast

import torch
from torch import Tensor, nn

from lightning_nas.functional.transfer import sent


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


class Identity(nn.Module):
    """A candidate that passes its input on, and that drop path leaves alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x

    @staticmethod
    def shared(_operations: Sequence[nn.Module], x: Tensor) -> Tensor:
        """The state itself, for all edges."""
        return x


class DropPath(nn.Module):
    """Drops whole paths per sample and scales the rest (Larsson et al. 2017; Zoph et al. 2018), in training only.

    `probability` is set by a schedule during training; it is 0 until then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.probability = 0.0

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.probability == 0.0:
            return x
        keep = 1.0 - self.probability
        mask = torch.empty(x.shape[0], 1, 1, 1, device=x.device, dtype=x.dtype).bernoulli_(keep)
        return x * (mask / keep)

    def extra_repr(self) -> str:
        return f"probability={self.probability}"


@dataclass(frozen=True)
class FanOutEdge:
    """One edge as its fan-out sees it.

    Args:
        row: of the group's table.
        node: the state that receives.
        operations: the candidates kept, by the column of the table.
    """

    row: int
    node: int
    operations: Mapping[int, nn.Module]


class FanOut:
    """All edges that leave one state, executed edge by edge: the readable reference of any faster execution.

    It owns no parameters: they lie in the cell under `edges.<edge>.<candidate>`, whatever the execution.

    Args:
        edges: the edges that read the state, in the order of their nodes.
        drop_path: applied to what each candidate but the identity gives.
    """

    def __init__(self, edges: Sequence[FanOutEdge], drop_path: DropPath) -> None:
        self.edges = tuple(edges)
        self.drop_path = drop_path

    def __call__(self, state: Tensor, weights: EdgeWeights | None) -> Iterator[tuple[int, Tensor]]:
        """Pairs (node, contribution) for the state (B, C, H, W); None as weights runs the one candidate kept."""
        rows = () if weights is None else weights.values.unbind()
        for edge in self.edges:
            if weights is None:
                (operation,) = edge.operations.values()
                yield edge.node, self._apply(operation, state)
                continue
            columns = tuple(edge.operations) if weights.active is None else weights.active[edge.row]
            if columns:
                mixed = self._mixed(edge, columns, state, rows[edge.row].unbind())
                yield edge.node, self._with_inactive(mixed, edge, weights)

    def _apply(self, operation: nn.Module, state: Tensor) -> Tensor:
        return self._dropped(operation, cast(Tensor, operation(state)))

    def _dropped(self, operation: nn.Module, output: Tensor) -> Tensor:
        return output if isinstance(operation, Identity) else cast(Tensor, self.drop_path(output))

    def _mixed(self, edge: FanOutEdge, columns: Sequence[int], state: Tensor, weight: Sequence[Tensor]) -> Tensor:
        first, *rest = columns
        total = weight[first] * self._apply(edge.operations[first], state)
        for column in rest:
            total = total + weight[column] * self._apply(edge.operations[column], state)
        return total

    @staticmethod
    def _with_inactive(total: Tensor, edge: FanOutEdge, weights: EdgeWeights) -> Tensor:
        """Add the weights of the candidates that did not run: zeros, through which they get a gradient."""
        if weights.active is None or not weights.inactive_gradient:
            return total
        return total + weights.not_run[edge.row] if set(edge.operations) - set(weights.active[edge.row]) else total
