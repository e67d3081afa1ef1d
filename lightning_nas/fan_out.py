"""Fast execution of the edges that leave a state: what they have in common is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lightning_nas.child_fan_out import ChildFanOut
from lightning_nas.edge import EdgeWeights
from lightning_nas.functional.weighted_sum import weighted_sum

Restore: TypeAlias = Callable[[Tensor], Tensor]


class Plan(NamedTuple):
    """How one kind of candidate runs on E edges at once; channels hold the edges one after the other.

    Args:
        prepare: from the state (B, C, H, W) and E to what the operations read; kinds with the same function share it.
        run: from E operations, what was prepared and their weights (E,) to the weighted outputs, (B, E * C, h, w).
        restore: brings a sum of such outputs to its final form; applied once to the sum of all kinds that have it.
    """

    prepare: Callable[[Tensor, int], Tensor]
    run: Callable[[Any, Tensor, Tensor], Tensor]
    restore: Restore | None = None


class SharedFanOut(ChildFanOut):
    """The same function as `FanOut`, with what the edges have in common computed once.

    Kinds of candidates say what can be shared:

    - `shared(operations, state)` gives what several operations all give alike (pools, skip connections), or None where
      they differ.
    - `plan(state)` says how several operations of the kind run as one.

    A kind with none of these runs edge by edge, and so does everything while drop path is on. Without weights it runs a
    child.
    """

    def __call__(self, state: Tensor, weights: EdgeWeights | None) -> Iterator[tuple[int, Tensor]]:
        if weights is None or not self.edges or self.drop_path.probability > 0.0:
            yield from super().__call__(state, weights)
            return
        terms = _Terms(state, weights, [edge.row for edge in self.edges])
        for column in self.edges[0].operations:
            positions = self._running(column, weights)
            if positions:
                terms.add([self.edges[p].operations[column] for p in positions], positions, column)
        for edge, total in zip(self.edges, terms.totals(), strict=True):
            if total is not None:
                yield edge.node, self._with_inactive(total, edge, weights)

    def _running(self, column: int, weights: EdgeWeights) -> tuple[int, ...]:
        """Positions of the edges that run a candidate."""
        active = weights.active
        return tuple(p for p, edge in enumerate(self.edges) if active is None or column in active[edge.row])


class _Terms:
    """What the candidates of a fan-out give, weighted and summed with as few operations as possible.

    Shapes: B batch, E edges that run a candidate, N edges in all, S candidates that all edges share, C channels, h and
    w size of the output.
    """

    def __init__(self, state: Tensor, weights: EdgeWeights, rows: list[int]) -> None:
        self.state, self.dense = state, weights.active is None
        self.weights_NO = weights.values[rows]
        self.columns = self.weights_NO.unbind(1)
        self.prepared: dict[tuple[Any, int], Tensor] = {}
        self.shared: list[tuple[int, Tensor]] = []
        self.joint: dict[tuple[tuple[int, ...], Restore | None], Tensor] = {}
        self.own: list[list[tuple[int, Tensor]]] = [[] for _ in rows]

    def add(self, operations: Sequence[Any], positions: tuple[int, ...], column: int) -> None:
        """Run operations of one kind, which stand on the edges at `positions`."""
        kind = operations[0]
        if self.dense and getattr(kind, "is_zero", False):
            return
        share = getattr(type(kind), "shared", None)
        alike: Tensor | None = None if share is None else share(operations, self.state)
        if alike is not None and self.dense:
            self.shared.append((column, alike))
        elif alike is None and hasattr(kind, "plan"):
            self._run(kind.plan(self.state), operations, positions, column)
        else:
            for position, operation in zip(positions, operations, strict=True):
                self.own[position].append((column, operation(self.state) if alike is None else alike))

    def _run(self, plan: Plan, operations: Sequence[Any], positions: tuple[int, ...], column: int) -> None:
        started = (plan.prepare, len(operations))
        if started not in self.prepared:
            self.prepared[started] = plan.prepare(self.state, len(operations))
        weights = self.columns[column]
        scale_E = weights if len(positions) == len(self.own) else weights[list(positions)]
        output = plan.run(operations, self.prepared[started], scale_E)
        key = (positions, plan.restore)
        self.joint[key] = self.joint[key] + output if key in self.joint else output

    def totals(self) -> Iterator[Tensor | None]:
        """The contribution of each edge; None if it runs nothing."""
        found: list[list[Tensor]] = [[] for _ in self.own]
        for position, mixture in enumerate(self._mixtures()):
            found[position].append(mixture)
        for positions, total in self._joint_totals().items():
            for position, part in zip(positions, total.chunk(len(positions), 1), strict=True):
                found[position].append(part)
        for position, (parts, own) in enumerate(zip(found, self.own, strict=True)):
            if own:
                weights = self.weights_NO[position, [column for column, _ in own]]
                parts.append(weighted_sum([output for _, output in own], weights))
            yield _sum(parts)

    def _joint_totals(self) -> dict[tuple[int, ...], Tensor]:
        totals: dict[tuple[int, ...], Tensor] = {}
        for (positions, restore), joint in self.joint.items():
            part = joint if restore is None else restore(joint)
            totals[positions] = totals[positions] + part if positions in totals else part
        return totals

    def _mixtures(self) -> Sequence[Tensor]:
        """What the shared candidates contribute to each edge, as one product (N, S) x (S, B*h*w*C)."""
        if not self.shared:
            return ()
        weights_NS = self.weights_NO[:, [column for column, _ in self.shared]]
        batch, channels, height, width = self.shared[0][1].shape
        outputs_SM = torch.stack([output.permute(0, 2, 3, 1).reshape(-1) for _, output in self.shared])
        mixed_NM = weights_NS @ outputs_SM
        return [row.view(batch, height, width, channels).permute(0, 3, 1, 2) for row in mixed_NM.unbind()]


def _sum(parts: Sequence[Tensor]) -> Tensor | None:
    total: Tensor | None = None
    for part in parts:
        total = part if total is None else total + part
    return total
