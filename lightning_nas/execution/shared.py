"""Fast execution of the edges that leave a state: what they have in common is computed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.architecture.edges import EdgeWeights
from lightning_nas.execution.protocols import Plan, Restore, RunsJointly, RunsRectified, Traits, TraitsOf
from lightning_nas.execution.reference import DropPath, FanOut, FanOutEdge
from lightning_nas.functional.autograd import NotKept, weighted_sum


class ChildFanOut(FanOut):
    """The same function as `FanOut`; in training a child's edges share what `SharesInput` and `RunsRectified` offer.

    In eval mode each operation is called as the module that it is, so hooks and exports see it.
    """

    def __init__(
        self, operations: nn.ModuleDict, candidates: Sequence[str], edges: Sequence[FanOutEdge], drop_path: DropPath
    ) -> None:
        super().__init__(operations, candidates, edges, drop_path)
        self.traits = TraitsOf()

    def __call__(self, state: Tensor, weights: EdgeWeights | None) -> Iterator[tuple[int, Tensor]]:
        if weights is not None or not self.drop_path.training:
            yield from super().__call__(state, weights)
            return
        placed = [(edge, operation) for edge in self.edges for operation in self.on(edge).values()]
        alike: dict[Traits, list[nn.Module]] = {}
        for _, operation in placed:
            alike.setdefault(self.traits(operation), []).append(operation)
        common = {
            traits: traits.shared(operations, state)
            for traits, operations in alike.items()
            if traits.shared is not None and len(operations) > 1
        }
        rectified: Tensor | None = None
        for edge, operation in placed:
            traits = self.traits(operation)
            output = common.get(traits)
            if output is None and traits.rectified:
                rectified = F.relu(state) if rectified is None else rectified
                output = cast(RunsRectified, operation).rectified(rectified)
            yield edge.node, self._apply(operation, state) if output is None else self._dropped(operation, output)


class SharedFanOut(ChildFanOut):
    """The same function as `FanOut`; a supernet's edges share what `SharesInput` and `RunsJointly` offer.

    A candidate that offers neither runs edge by edge, and so does everything while drop path is on. Without weights it
    runs a child.
    """

    def __call__(self, state: Tensor, weights: EdgeWeights | None) -> Iterator[tuple[int, Tensor]]:
        if weights is None or not self.edges or self.drop_path.probability > 0.0:
            yield from super().__call__(state, weights)
            return
        terms = _Terms(state, weights, [edge.row for edge in self.edges])
        for column, placed in self._by_column(weights).items():
            groups: dict[Traits, list[tuple[int, nn.Module]]] = {}
            for position, operation in placed:
                groups.setdefault(self.traits(operation), []).append((position, operation))
            for traits, group in groups.items():
                positions, operations = zip(*group, strict=True)
                terms.add(traits, operations, positions, column)
        for edge, total in zip(self.edges, terms.totals(), strict=True):
            if total is not None:
                yield edge.node, self._with_inactive(total, edge, weights)

    def _by_column(self, weights: EdgeWeights) -> dict[int, list[tuple[int, nn.Module]]]:
        """The candidates that run, by column, each with the position of its edge."""
        found: dict[int, list[tuple[int, nn.Module]]] = {column: [] for column in range(len(self.candidates))}
        for position, edge in enumerate(self.edges):
            for column, operation in self.running(edge, weights).items():
                found[column].append((position, operation))
        return found


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
        self.state = state
        self.values_learn = weights.values.requires_grad
        self.rows = [weights.rows[row] for row in rows]
        # One stack for all candidates where every edge runs them, and where not one for each kind.
        self.columns = torch.stack(self.rows, 1).unbind() if weights.active is None else ()
        self.shared: list[tuple[int, Tensor]] = []
        self.jobs: list[_Job] = []
        self.own: list[list[tuple[int, Tensor]]] = [[] for _ in rows]

    def _everywhere(self, positions: Sequence[int]) -> bool:
        """Whether all candidates run, and those at `positions` on all edges."""
        return bool(self.columns) and len(positions) == len(self.rows)

    def add(self, traits: Traits, operations: Sequence[Any], positions: tuple[int, ...], column: int) -> None:
        """Take up operations of one kind, which stand on the edges at `positions`."""
        if self.columns and traits.zero:
            return
        alike = None if traits.shared is None else traits.shared(operations, self.state)
        if alike is not None and self._everywhere(positions):
            self.shared.append((column, alike))
        elif alike is None and traits.joint:
            plan = cast(RunsJointly, operations[0]).plan(self.state)
            self.jobs.append(_Job(plan, operations, positions, column))
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
        if all(self._everywhere(job.positions) for job in self.jobs):
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
