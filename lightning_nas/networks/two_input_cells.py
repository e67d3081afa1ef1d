"""Cells that read the last two cells: those of DARTS and of NASNet."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn

from lightning_nas.architecture.edges import Architecture, Edge, EdgeGroup, EdgeWeights
from lightning_nas.execution.norm import Norm
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.cells import EdgeCell, weights_for
from lightning_nas.networks.convolutions import FactorizedReduce, ReluConvNorm
from lightning_nas.networks.joined_width import JoinedFactorizedReduce, JoinedReluConvNorm, JoinedWidth
from lightning_nas.networks.operations import CANDIDATES, Place
from lightning_nas.networks.skeleton import CellSkeleton


def preprocess(inputs: int, outputs: int, reduce: bool, norm: Norm) -> nn.Module:
    """Brings an input of a cell to its width, and to half the resolution if the cell before the last reduced."""
    if isinstance(inputs, JoinedWidth):
        return JoinedFactorizedReduce(inputs, outputs, norm) if reduce else JoinedReluConvNorm(inputs, outputs, norm)
    return FactorizedReduce(inputs, outputs, norm) if reduce else ReluConvNorm(inputs, outputs, 1, 1, norm)


class TwoInputCell(nn.Module):
    """Base of cells that read the last two cells.

    `outputs` is the number of channels that they give: a `JoinedWidth` if it depends on the genotype. A cell that reads
    its inputs by `preprocess0` and `preprocess1` alone, each with a method `rectified`, says so with `takes_prepared`:
    then it may get what these give, with `prepared=True`.
    """

    outputs: int
    takes_prepared = False

    def forward(
        self, before_last: Tensor, last: Tensor, architecture: Architecture | None, prepared: bool = False
    ) -> Tensor:
        raise NotImplementedError


class DartsCell(EdgeCell, TwoInputCell):
    """One cell: two preprocessed inputs, nodes that sum their edges, all nodes concatenated."""

    takes_prepared = True

    def __init__(
        self,
        widths: tuple[int, int, int],
        group: EdgeGroup,
        kept: Sequence[tuple[int, ...]],
        reduction: bool,
        reduced: bool,
        skeleton: CellSkeleton,
        supernet: bool,
        execution: Execution,
    ) -> None:
        before_last, last, channels = widths
        norm, pool_norm = skeleton.edge_norm(supernet), skeleton.with_pool_norm(supernet)

        def operation(edge: Edge, candidate: str) -> nn.Module:
            stride = 2 if reduction and edge.source < 2 else 1
            return CANDIDATES[candidate](Place(channels, stride, norm, pool_norm))

        super().__init__(group, kept, operation, 2, execution)
        self.preprocess0 = preprocess(before_last, channels, reduced, norm)
        self.preprocess1 = preprocess(last, channels, False, norm)
        self.outputs = channels * (self.states - 2)

    def forward(
        self, before_last: Tensor, last: Tensor, architecture: Architecture | None, prepared: bool = False
    ) -> Tensor:
        if not prepared:
            before_last, last = self.preprocess0(before_last), self.preprocess1(last)
        inputs = (before_last, last)
        return torch.cat(self.run(inputs, weights_for(architecture, self.group_name))[2:], dim=1)


def loose_ends(edges: Collection[Edge]) -> tuple[int, ...]:
    """The nodes that none of the edges reads.

    Example:
        >>> loose_ends([Edge(2, 0, 0), Edge(2, 1, 1), Edge(3, 2, 0), Edge(3, 0, 1), Edge(4, 0, 0), Edge(4, 0, 1)])
        (3, 4)
    """
    read = {edge.source for edge in edges}
    return tuple(sorted({edge.node for edge in edges} - read))


class Looseness(nn.Module):
    """How loose each node of a supernet's cell is: 1 if no edge reads it and 0 if one does, in between if relaxed.

    The share of a source is its part of all the weight in a slot; a node is as loose as if every slot drew its source
    by these shares: the product of 1 - share over all edges that read it.
    """

    def __init__(self, group: EdgeGroup) -> None:
        super().__init__()
        edges = group.edges
        nodes = sorted({edge.node for edge in edges})
        same = [[(one.node, one.slot) == (two.node, two.slot) for two in edges] for one in edges]
        reads = [[edge.source == node for edge in edges] for node in nodes]
        self.same_slot_EE: Tensor
        self.reads_NE: Tensor
        self.register_buffer("same_slot_EE", torch.tensor(same), persistent=False)
        self.register_buffer("reads_NE", torch.tensor(reads), persistent=False)

    def forward(self, weights: EdgeWeights) -> Tensor:
        """(nodes,), for the weights of E edges."""
        weight_E = weights.values.sum(-1)
        slot_E = torch.where(self.same_slot_EE, weight_E, 0.0).sum(-1)
        share_E = weight_E / slot_E.clamp_min(torch.finfo(weight_E.dtype).tiny)
        return torch.where(self.reads_NE, 1.0 - share_E, 1.0).prod(-1)


class NasnetCell(DartsCell):
    """One cell: two preprocessed inputs, blocks that sum two edges, the loose ends side by side.

    In a supernet all states stand side by side, each times its looseness. It is not negative, so what reads them, a
    ReLU and a linear map, gives what the loose ends alone would give on a path.
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        group: EdgeGroup,
        kept: Sequence[tuple[int, ...]],
        reduction: bool,
        reduced: bool,
        skeleton: CellSkeleton,
        supernet: bool,
        execution: Execution,
    ) -> None:
        super().__init__(widths, group, kept, reduction, reduced, skeleton, supernet, execution)
        existing = [edge for edge, columns in zip(group.edges, kept, strict=True) if columns]
        read = {edge.source for edge in existing}
        self.unread_inputs = tuple(source for source in range(self.inputs) if source not in read)
        self.looseness = Looseness(group) if supernet else None
        self.given = tuple(range(self.inputs, self.states)) if supernet else loose_ends(existing)
        self.outputs = JoinedWidth(self.given, widths[-1])

    def forward(
        self, before_last: Tensor, last: Tensor, architecture: Architecture | None, prepared: bool = False
    ) -> Tensor:
        if not prepared:
            before_last, last = self.preprocess0(before_last), self.preprocess1(last)
        inputs = (before_last, last)
        weights = weights_for(architecture, self.group_name)
        states = self.run(inputs, weights)
        given = [states[node] for node in self.given]
        if weights is not None and self.looseness is not None:
            factors = self.looseness(weights).unbind()
            given = [state * factor for state, factor in zip(given, factors, strict=True)]
        output = torch.cat(given, dim=1)
        for source in self.unread_inputs:  # stays in the graph, so that every parameter of a child has a gradient
            output = output + 0.0 * inputs[source].mean()
        return output
