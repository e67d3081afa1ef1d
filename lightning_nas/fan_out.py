"""Fast execution of the edges that leave a state: what they have in common is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lightning_nas.edge import EdgeWeights, FanOut
from lightning_nas.functional.weighted_sum import weighted_sum

Step: TypeAlias = Callable[[Tensor], Tensor]


class Plan(NamedTuple):
    """An operation taken apart: `restore(run(operation, prepare(state)))`; sums may be taken before `restore`."""

    prepare: Step
    run: Callable[[Any, Tensor], Tensor]
    restore: Step | None = None


class SharedFanOut(FanOut):
    """The same function as `FanOut`, with what the edges have in common computed once.

    Kinds of candidates say what can be shared:

    - `shared(operations, state)` gives what several operations all give alike (pools, skip connections), or None where
      they differ.
    - `plan(state)` takes an operation apart, so that what it starts with runs once a state, and what it ends with once
      an edge.

    A kind with none of these runs edge by edge, and so does everything while drop path is on.

    Shapes: B batch, N edges, O candidates, S candidates that are shared, C channels, h and w size of the output.
    """

    def __call__(self, state: Tensor, weights: EdgeWeights | None) -> Iterator[tuple[int, Tensor]]:
        if weights is None or not self.edges or self.drop_path.probability > 0.0:
            yield from super().__call__(state, weights)
            return
        shared: list[tuple[int, Tensor]] = []
        own: list[dict[Step | None, list[tuple[Tensor, int]]]] = [{} for _ in self.edges]
        started: dict[Any, Tensor] = {}
        for position, column in enumerate(self.edges[0].columns):
            running = self._running(column, weights)
            operations = [list(self.edges[p].candidates.values())[position] for p in running]
            if not operations or (weights.active is None and getattr(operations[0], "is_zero", False)):
                continue
            alike = _alike(operations, state)
            if alike is not None and weights.active is None:
                shared.append((column, alike))
                continue
            outputs, restore = _each(operations, state, started) if alike is None else ([alike] * len(running), None)
            for p, output in zip(running, outputs, strict=True):
                own[p].setdefault(restore, []).append((output, column))
        mixtures = self._mixtures(shared, weights)
        for edge, mixture, terms in zip(self.edges, mixtures, own, strict=True):
            total = self._total(mixture, terms, weights.values[edge.row])
            if total is not None:
                yield edge.node, total if weights.active is None else self._with_inactive(total, edge, weights)

    def _running(self, column: int, weights: EdgeWeights) -> list[int]:
        """Positions of the edges that run a candidate."""
        active = weights.active
        return [p for p, edge in enumerate(self.edges) if active is None or column in active[edge.row]]

    def _mixtures(self, shared: list[tuple[int, Tensor]], weights: EdgeWeights) -> list[Tensor | None]:
        """What the shared candidates contribute to each edge, as one product (N, S) x (S, B*h*w*C)."""
        if not shared:
            return [None] * len(self.edges)
        rows = [edge.row for edge in self.edges]
        weights_NS = weights.values[rows][:, [column for column, _ in shared]]
        batch, channels, height, width = shared[0][1].shape
        outputs_SM = torch.stack([output.permute(0, 2, 3, 1).reshape(-1) for _, output in shared])
        mixed_NM = weights_NS @ outputs_SM
        return [row.view(batch, height, width, channels).permute(0, 3, 1, 2) for row in mixed_NM.unbind()]

    @staticmethod
    def _total(
        mixture: Tensor | None, terms: dict[Step | None, list[tuple[Tensor, int]]], row_O: Tensor
    ) -> Tensor | None:
        """The contribution of one edge; None if it runs nothing."""
        total = mixture
        for restore, found in terms.items():
            part = weighted_sum([output for output, _ in found], row_O[[column for _, column in found]])
            part = part if restore is None else restore(part)
            total = part if total is None else total + part
        return total


def _alike(operations: Sequence[Any], state: Tensor) -> Tensor | None:
    """What operations of one kind all give alike; None if they differ."""
    shared = getattr(type(operations[0]), "shared", None)
    return None if shared is None else shared(operations, state)


def _each(operations: Sequence[Any], state: Tensor, started: dict[Any, Tensor]) -> tuple[Sequence[Tensor], Step | None]:
    """What each of several operations of one kind gives, and what has to come after their sum."""
    if not hasattr(operations[0], "plan"):
        return [operation(state) for operation in operations], None
    plan: Plan = operations[0].plan(state)
    if plan.prepare not in started:
        started[plan.prepare] = plan.prepare(state)
    x = started[plan.prepare]
    return [plan.run(operation, x) for operation in operations], plan.restore
