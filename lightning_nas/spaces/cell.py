"""Cells of edges, and the network that stacks cells with two inputs: supernet and child are the same classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.edge import Architecture, DropPath, Edge, EdgeGroup, EdgeWeights, FanOut, FanOutEdge
from lightning_nas.fan_out import SharedFanOut
from lightning_nas.skeleton import CellSkeleton, Execution, NetworkOutput, Norm, Skeleton
from lightning_nas.spaces.checkpoint import run_cell
from lightning_nas.spaces.convolutions import FactorizedReduce, ReluConvNorm


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
    return {
        name: EdgeWeights(weights.values.to(x.device, dtype), weights.active, weights.inactive_gradient)
        for name, weights in architecture.items()
    }


def preprocess(inputs: int, outputs: int, reduce: bool, norm: Norm) -> nn.Module:
    """Brings an input of a cell to its width, and to half the resolution if the cell before the last reduced."""
    return FactorizedReduce(inputs, outputs, norm) if reduce else ReluConvNorm(inputs, outputs, 1, 1, norm)


class AuxiliaryHead(nn.Module):
    """Second classifier on the features at 2/3 of the depth, for 8x8 (CIFAR) and 7x7 (ImageNet) features or larger.

    Source: Liu et al. 2019, whose ImageNet head has no second norm.
    """

    def __init__(self, inputs: int, skeleton: CellSkeleton) -> None:
        super().__init__()
        imagenet = skeleton.stem == "imagenet"
        self.stride = 2 if imagenet else 3
        self.conv_1 = nn.Conv2d(inputs, 128, 1, bias=False)
        self.norm_1 = skeleton.outer_norm().build(128)
        self.conv_2 = nn.Conv2d(128, 768, 2, bias=False)
        self.norm_2: nn.Module = nn.Identity() if imagenet else skeleton.outer_norm().build(768)
        self.classifier = nn.Linear(768, skeleton.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(F.relu(x), 5, self.stride, count_include_pad=False)
        x = F.relu(self.norm_1(self.conv_1(x)))
        x = F.relu(self.norm_2(self.conv_2(x)))
        return cast(Tensor, self.classifier(x.mean((2, 3))))


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


class TwoInputCell(nn.Module):
    """Base of cells that read the last two cells; `outputs` is the number of channels they give."""

    outputs: int

    def forward(self, before_last: Tensor, last: Tensor, architecture: Architecture | None) -> Tensor:
        raise NotImplementedError


CellBuilder = Callable[[int, int, int, bool, bool], TwoInputCell]
"""(channels before last, channels last, channels, reduction, whether the cell before reduced) -> cell."""


class CellNetwork(nn.Module):
    """Stem, cells with two inputs, global average pooling, classifier (Zoph et al. 2018; Liu et al. 2019).

    Args:
        skeleton: sizes around the cells.
        build_cell: makes one cell.
        supernet: whether `forward` takes an architecture.
    """

    def __init__(self, skeleton: CellSkeleton, build_cell: CellBuilder, supernet: bool) -> None:
        super().__init__()
        self.skeleton, self.supernet = skeleton, supernet
        reduced = skeleton.stem == "imagenet"
        if reduced:
            self.stem0, self.stem1 = imagenet_stem(skeleton)
            before_last = last = skeleton.channels
        else:
            before_last = last = skeleton.stem_multiplier * skeleton.channels
            self.stem = cifar_stem(skeleton, last)
        channels, cells = skeleton.channels, []
        self.auxiliary_head: AuxiliaryHead | None = None
        for index in range(skeleton.cells):
            reduction = index in skeleton.reductions
            channels *= 2 if reduction else 1
            cell = build_cell(before_last, last, channels, reduction, reduced)
            cells.append(cell)
            before_last, last, reduced = last, cell.outputs, reduction
            if skeleton.auxiliary and index == skeleton.reductions[-1]:
                self.auxiliary_head = AuxiliaryHead(last, skeleton)
        self.cells = nn.ModuleList(cells)
        self.classifier = nn.Linear(last, skeleton.classes)

    def forward(self, images: Tensor, architecture: Architecture | None = None) -> NetworkOutput:
        """Logits for images (B, C, H, W); a supernet takes the architecture to run."""
        architecture = on_device(architecture, images, self.supernet, self)
        if self.supernet and self.skeleton.execution == "fan_out":
            images = images.contiguous(memory_format=torch.channels_last)
        if self.skeleton.stem == "imagenet":
            before_last = self.stem0(images)
            last = self.stem1(before_last)
        else:
            before_last = last = self.stem(images)
        auxiliary = None
        for index, cell in enumerate(self.cells):
            before_last, last = last, run_cell(cell, self.skeleton, before_last, last, architecture)
            if self.training and self.auxiliary_head is not None and index == self.skeleton.reductions[-1]:
                auxiliary = self.auxiliary_head(last)
        return NetworkOutput(self.classifier(global_average(last)), auxiliary)
