"""Cells of edges, and what networks of cells have around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.edge import Architecture, DropPath, Edge, EdgeGroup, EdgeWeights, FanOut, FanOutEdge
from lightning_nas.fan_out import SharedFanOut
from lightning_nas.functional.transfer import moved
from lightning_nas.norm import Norm
from lightning_nas.skeleton import Execution, Skeleton
from lightning_nas.spaces.convolutions import FactorizedReduce, ReluConvNorm
from lightning_nas.spaces.joined_width import JoinedFactorizedReduce, JoinedReluConvNorm, JoinedWidth
from lightning_nas.spaces.statistics import moved_together


class EdgeCell(nn.Module):
    """A directed acyclic graph of states; each state's outgoing edges run together, as one fan-out.

    Args:
        group: edges and candidates of the cell.
        kept: candidates that exist on each edge, by index; an empty tuple leaves the edge out.
        build: makes the operation for an edge and a candidate's name.
        inputs: number of states that are given.
        execution: how a supernet's edges are run; the function is the same.
    """

    def __init__(
        self,
        group: EdgeGroup,
        kept: Sequence[tuple[int, ...]],
        build: Callable[[Edge, str], nn.Module],
        inputs: int,
        execution: Execution = "fan_out",
    ) -> None:
        super().__init__()
        self.group_name = group.name
        self.edges = nn.ModuleDict()
        self.drop_path = DropPath()
        self.inputs = inputs
        leaving: dict[int, list[FanOutEdge]] = {}
        for row, (edge, columns) in enumerate(zip(group.edges, kept, strict=True)):
            if columns:
                candidates = nn.ModuleDict({group.candidates[c]: build(edge, group.candidates[c]) for c in columns})
                self.edges[edge.key] = candidates
                operations = dict(zip(columns, candidates.values(), strict=True))
                leaving.setdefault(edge.source, []).append(FanOutEdge(row, edge.node, operations))
        self.states = 1 + max(edge.node for edge in group.edges)
        run = SharedFanOut if execution == "fan_out" else FanOut
        self._fan_outs = [run(leaving.get(source, ()), self.drop_path) for source in range(self.states)]

    def run(self, inputs: Sequence[Tensor], weights: EdgeWeights | None) -> list[Tensor]:
        """All states, from the given ones, each (B, C, H, W).

        Raises:
            ValueError: no edge that is run leads to some state.
        """
        with moved_together():
            return self._states(inputs, weights)

    def _states(self, inputs: Sequence[Tensor], weights: EdgeWeights | None) -> list[Tensor]:
        arriving: list[Tensor | None] = [*inputs, *([None] * (self.states - self.inputs))]
        for source, fan_out in enumerate(self._fan_outs):
            state = arriving[source]
            if state is None:
                raise ValueError(f"No edge leads to state {source} of a {self.group_name!r} cell: the path is broken.")
            for node, contribution in fan_out(state, weights):
                total = arriving[node]
                arriving[node] = contribution if total is None else total + contribution
        return cast(list[Tensor], arriving)


def weights_for(architecture: Architecture | None, group: str) -> EdgeWeights | None:
    """The edge weights of one group; None in a child."""
    return None if architecture is None else architecture[group]


def on_device(architecture: Architecture | None, x: Tensor, supernet: bool, owner: nn.Module) -> Architecture | None:
    """The architecture with values where the images are.

    Raises:
        ValueError: a supernet without an architecture, or a child with one.
    """
    if supernet and architecture is None:
        raise ValueError(
            f"{type(owner).__name__} is a supernet: call it with an architecture, such as space.path(genotype)."
        )
    if not supernet and architecture is not None:
        raise ValueError(f"{type(owner).__name__} is a child, one architecture already: call it with images alone.")
    if architecture is None:
        return None
    dtype = x.dtype if x.is_floating_point() else None
    found = {
        name: EdgeWeights(moved(weights.values, x.device, dtype), weights.active, weights.inactive_gradient)
        for name, weights in architecture.items()
    }
    for weights in found.values():
        if weights.inactive_gradient:
            weights.not_run  # noqa: B018  before any cell that is computed twice, which must find the same both times
    return found


def laid_out(images: Tensor, skeleton: Skeleton, supernet: bool) -> Tensor:
    """The images in the memory layout that the network is fast in: channels last, for children on a CPU."""
    fast = skeleton.execution == "fan_out" and (supernet or images.device.type == "cpu")
    return images.contiguous(memory_format=torch.channels_last) if fast else images


def preprocess(inputs: int, outputs: int, reduce: bool, norm: Norm) -> nn.Module:
    """Brings an input of a cell to its width, and to half the resolution if the cell before the last reduced."""
    if isinstance(inputs, JoinedWidth):
        return JoinedFactorizedReduce(inputs, outputs, norm) if reduce else JoinedReluConvNorm(inputs, outputs, norm)
    return FactorizedReduce(inputs, outputs, norm) if reduce else ReluConvNorm(inputs, outputs, 1, 1, norm)


def cifar_stem(skeleton: Skeleton, outputs: int) -> nn.Sequential:
    """3x3 convolution at full resolution, norm."""
    conv = nn.Conv2d(skeleton.in_channels, outputs, 3, padding=1, bias=False)
    return nn.Sequential(conv, skeleton.outer_norm().build(outputs))


def imagenet_stem(skeleton: Skeleton) -> tuple[nn.Sequential, nn.Sequential]:
    """Convolutions to a quarter of the resolution, and one more to an eighth."""
    half, full, norm = skeleton.channels // 2, skeleton.channels, skeleton.outer_norm()
    first = nn.Sequential(
        nn.Conv2d(skeleton.in_channels, half, 3, stride=2, padding=1, bias=False),
        norm.build(half),
        nn.ReLU(),
        nn.Conv2d(half, full, 3, stride=2, padding=1, bias=False),
        norm.build(full),
    )
    return first, nn.Sequential(nn.ReLU(), nn.Conv2d(full, full, 3, stride=2, padding=1, bias=False), norm.build(full))


def global_average(x: Tensor) -> Tensor:
    """The mean over height and width, (B, C); unlike that of `mean`, its gradient has the layout of the images."""
    return F.avg_pool2d(x, (x.shape[2], x.shape[3])).flatten(1)
