"""Fast execution of the edges that leave a state: what they have in common is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas.child_fan_out import ChildFanOut
from lightning_nas.edge import EdgeWeights
from lightning_nas.functional.recompute import NotKept
from lightning_nas.functional.weighted_sum import weighted_sum

Restore: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]


class Plan(NamedTuple):
    """How one kind of candidate runs on E edges at once; channels hold the edges one after the other.

    Args:
        prepare: from the state behind ReLU (B, C, H, W) and E to what the operations read; kinds with the same function
            share it.
        run: from E operations, what was prepared and their weights, one for each channel, (E * C,), to the weighted
            outputs, (B, E * C, h, w), which may be written over.
        restore: brings a sum of such outputs to its final form, and adds it to a second one, which may be written over,
            unless that is None; applied once to the sum of all kinds that have it.
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


class _Job(NamedTuple):
    """Operations of one kind that run as one, on the edges at `positions`."""

    plan: Plan
    operations: Sequence[Any]
    positions: tuple[int, ...]
    column: int


class _Terms:
    """What the candidates of a fan-out give, weighted and summed with as few operations as possible.

    Shapes: B batch, E edges that run a candidate, N edges in all, S candidates that all edges share, J kinds that run
    jointly, C channels, D = E * C, h and w size of the output.
    """

    def __init__(self, state: Tensor, weights: EdgeWeights, rows: list[int]) -> None:
        self.state, self.dense = state, weights.active is None
        self.values_learn = weights.values.requires_grad
        self.rows = [weights.rows[row] for row in rows]
        self.columns = torch.stack(self.rows, 1).unbind() if self.dense else ()
        self.shared: list[tuple[int, Tensor]] = []
        self.jobs: list[_Job] = []
        self.own: list[list[tuple[int, Tensor]]] = [[] for _ in rows]

    def add(self, operations: Sequence[Any], positions: tuple[int, ...], column: int) -> None:
        """Take up operations of one kind, which stand on the edges at `positions`."""
        kind = operations[0]
        if self.dense and getattr(kind, "is_zero", False):
            return
        share = getattr(type(kind), "shared", None)
        alike: Tensor | None = None if share is None else share(operations, self.state)
        if alike is not None and self.dense:
            self.shared.append((column, alike))
        elif alike is None and hasattr(kind, "plan"):
            self.jobs.append(_Job(kind.plan(self.state), operations, positions, column))
        else:
            for position, operation in zip(positions, operations, strict=True):
                self.own[position].append((column, operation(self.state) if alike is None else alike))

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
                weights = torch.stack([self.rows[position][column] for column, _ in own])
                parts.append(weighted_sum([output for _, output in own], weights))
            yield _sum(parts)

    def _joint_totals(self) -> dict[tuple[int, ...], Tensor]:
        if not self.jobs:
            return {}
        rectified, spare = F.relu(self.state), self._spares_memory()
        prepared: dict[tuple[Any, int], tuple[Tensor, AbstractContextManager[Any]]] = {}
        sums: dict[tuple[tuple[int, ...], Restore | None], Tensor] = {}
        for job, scale_D in zip(self.jobs, self._scales(), strict=True):
            started = (job.plan.prepare, len(job.operations))
            if started not in prepared:
                prepared[started] = _prepared(rectified, *started, spare)
            x, not_kept = prepared[started]
            with not_kept:
                output = job.plan.run(job.operations, x, scale_D)
            key = (job.positions, job.plan.restore)
            sums[key] = sums[key].add_(output) if key in sums else output
        totals: dict[tuple[int, ...], Tensor] = {}
        # Those that are in their final form already come first, so that the others are added to them.
        for (positions, restore), joint in sorted(sums.items(), key=lambda item: item[0][1] is not None):
            total = totals.get(positions)
            if restore is not None:
                totals[positions] = restore(joint, total)
            else:
                totals[positions] = joint if total is None else total.add_(joint)
        return totals

    def _spares_memory(self) -> bool:
        """Whether both the weights and the architecture learn: the pass that keeps the most for its gradients."""
        parameter = next(self.jobs[0].operations[0].parameters(), None) if self.values_learn else None
        return parameter is not None and parameter.requires_grad

    def _scales(self) -> Sequence[Tensor]:
        """The weights of each job, one for each channel, (D,)."""
        channels = self.state.shape[1]
        if self.dense:
            weights_JN = torch.stack([self.columns[job.column] for job in self.jobs])
            return _spread(weights_JN, channels).unbind()
        weights = [torch.stack([self.rows[p][job.column] for p in job.positions]) for job in self.jobs]
        return [_spread(weights_E, channels) for weights_E in weights]

    def _mixtures(self) -> Sequence[Tensor]:
        """What the shared candidates contribute to each edge, as one product (N, S) x (S, B*h*w*C)."""
        if not self.shared:
            return ()
        weights_NS = torch.stack([self.columns[column] for column, _ in self.shared], 1)
        batch, channels, height, width = self.shared[0][1].shape
        outputs_SM = torch.stack([output.permute(0, 2, 3, 1).reshape(-1) for _, output in self.shared])
        mixed_NM = weights_NS @ outputs_SM
        return [row.view(batch, height, width, channels).permute(0, 3, 1, 2) for row in mixed_NM.unbind()]


def _sum(parts: Sequence[Tensor]) -> Tensor | None:
    total: Tensor | None = None
    for part in parts:
        total = part if total is None else total + part
    return total


def _prepared(
    rectified: Tensor, prepare: Callable[[Tensor, int], Tensor], edges: int, spare: bool
) -> tuple[Tensor, AbstractContextManager[Any]]:
    """What several kinds read, and a context in which `spare` lets no backward pass keep it, if larger than a state."""
    prepared, rectified = prepare(rectified, edges), rectified.detach()
    if not spare or prepared.numel() <= rectified.numel():
        return prepared, nullcontext()
    return prepared, NotKept(prepared, lambda: prepare(rectified, edges)).hooks()


def _spread(weights_E: Tensor, channels: int) -> Tensor:
    """Each of the last dimension's weights for so many channels: a copy, since the norm's backward reads no strides."""
    return weights_E.unsqueeze(-1).expand(*weights_E.shape, channels).contiguous().flatten(-2)
