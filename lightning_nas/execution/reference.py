"""The edges that leave a state, run one by one: the readable reference of any faster execution."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from lightning_nas.architecture.edges import EdgeWeights


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
        mask = torch.empty(x.shape[0], *[1] * (x.ndim - 1), device=x.device, dtype=x.dtype).bernoulli_(keep)
        return x * (mask / keep)

    def extra_repr(self) -> str:
        return f"probability={self.probability}"


@dataclass(frozen=True)
class FanOutEdge:
    """One edge as its fan-out sees it.

    Args:
        row: of the group's table.
        node: the state that receives.
        key: of the edge in the cell's `edges`.
    """

    row: int
    node: int
    key: str


class FanOut:
    """All edges that leave one state, run edge by edge.

    It owns no candidates: they stand in the cell under `edges.<edge>.<candidate>` and are looked up there in every run,
    so removing or exchanging one takes effect at once.

    Args:
        operations: the cell's `edges`: by edge key and candidate, an `nn.ModuleDict` of `nn.ModuleDict`s.
        candidates: names in the order of the columns of the group's table.
        edges: the edges that read the state, in the order of their nodes.
        drop_path: applied to what each candidate but the identity gives.
    """

    def __init__(
        self, operations: nn.ModuleDict, candidates: Sequence[str], edges: Sequence[FanOutEdge], drop_path: DropPath
    ) -> None:
        self.operations, self.candidates = operations, tuple(candidates)
        self.edges = tuple(edges)
        self.drop_path = drop_path

    def on(self, edge: FanOutEdge) -> dict[int, nn.Module]:
        """The candidates that an edge has, by the column of the table."""
        if edge.key not in self.operations:
            return {}
        found = cast(nn.ModuleDict, self.operations[edge.key])
        return {column: found[name] for column, name in enumerate(self.candidates) if name in found}

    def running(self, edge: FanOutEdge, weights: EdgeWeights) -> dict[int, nn.Module]:
        """The candidates that an architecture runs on an edge, by column.

        Raises:
            ValueError: one of them was removed.
        """
        if weights.active is None:
            return self.on(edge)
        found = cast(nn.ModuleDict, self.operations[edge.key]) if edge.key in self.operations else nn.ModuleDict()
        columns = weights.active[edge.row]
        for column in columns:
            if self.candidates[column] not in found:
                raise ValueError(
                    f"The architecture runs {self.candidates[column]!r} on edge {edge.key}, which has "
                    f"{', '.join(found) or 'no candidate'}: give one that is left."
                )
        return {column: found[self.candidates[column]] for column in columns}

    def __call__(self, state: Tensor, weights: EdgeWeights | None) -> Iterator[tuple[int, Tensor]]:
        """Pairs (node, contribution) for the state (B, C, H, W); None as weights runs the one candidate kept."""
        rows = () if weights is None else weights.values.unbind()
        for edge in self.edges:
            if weights is None:
                for operation in self.on(edge).values():
                    yield edge.node, self._apply(operation, state)
                continue
            running = self.running(edge, weights)
            if running:
                mixed = self._mixed(running, state, rows[edge.row].unbind())
                yield edge.node, self._with_inactive(mixed, edge, weights)

    def _apply(self, operation: nn.Module, state: Tensor) -> Tensor:
        return self._dropped(operation, cast(Tensor, operation(state)))

    def _dropped(self, operation: nn.Module, output: Tensor) -> Tensor:
        return output if isinstance(operation, Identity) else cast(Tensor, self.drop_path(output))

    def _mixed(self, running: dict[int, nn.Module], state: Tensor, weight: Sequence[Tensor]) -> Tensor:
        (first, operation), *rest = running.items()
        total = weight[first] * self._apply(operation, state)
        for column, operation in rest:
            total = total + weight[column] * self._apply(operation, state)
        return total

    def _with_inactive(self, total: Tensor, edge: FanOutEdge, weights: EdgeWeights) -> Tensor:
        """Add the weights of the candidates that did not run: zeros, through which they get a gradient."""
        if weights.active is None or not weights.inactive_gradient:
            return total
        others = self.on(edge).keys() - set(weights.active[edge.row])
        return total + weights.not_run[edge.row] if others else total
