"""Cells of edges, and what networks of cells have around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from lightning_nas.architecture.edges import Architecture, Edge, EdgeGroup, EdgeWeights
from lightning_nas.execution.joint import moved_together
from lightning_nas.execution.reference import DropPath, FanOutEdge
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.memory import moved


def run_cell(cell: nn.Module, execution: Execution, *inputs: Any) -> Tensor:
    """What a cell gives; with `checkpoint_cells` only its inputs are kept for the backward pass.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016. The function, its gradients and running
    statistics are the same: the second pass draws the same random numbers and leaves the statistics alone.
    """
    if not (execution.checkpoint_cells and cell.training and torch.is_grad_enabled()):
        return cast(Tensor, cell(*inputs))

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _kept_buffers(cell)

    return cast(Tensor, checkpoint(cell, *inputs, use_reentrant=False, context_fn=contexts))


@contextmanager
def _kept_buffers(module: nn.Module) -> Iterator[None]:
    buffers = list(module.buffers())
    saved = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(buffers, saved)


class EdgeCell(nn.Module):
    """A directed acyclic graph of states; each state's outgoing edges run together, as one fan-out.

    Args:
        group: edges and candidates of the cell.
        kept: candidates that exist on each edge, by index; an empty tuple leaves the edge out.
        build: makes the operation for an edge and a candidate's name.
        inputs: number of states that are given.
        execution: how the edges are run; the function is the same.
    """

    def __init__(
        self,
        group: EdgeGroup,
        kept: Sequence[tuple[int, ...]],
        build: Callable[[Edge, str], nn.Module],
        inputs: int,
        execution: Execution = Execution(),
    ) -> None:
        super().__init__()
        self.group_name = group.name
        self.edges = nn.ModuleDict()
        self.drop_path = DropPath()
        self.inputs = inputs
        leaving: dict[int, list[FanOutEdge]] = {}
        for row, (edge, columns) in enumerate(zip(group.edges, kept, strict=True)):
            if columns:
                names = [group.candidates[column] for column in columns]
                self.edges[edge.key] = nn.ModuleDict({name: build(edge, name) for name in names})
                leaving.setdefault(edge.source, []).append(FanOutEdge(row, edge.node, edge.key))
        self.states = 1 + max(edge.node for edge in group.edges)
        self._fan_outs = [
            execution.fan_out(self.edges, group.candidates, leaving.get(source, ()), self.drop_path)
            for source in range(self.states)
        ]

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
