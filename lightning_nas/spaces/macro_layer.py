"""One layer of ENAS's macro space (Pham et al. 2018): an operation on the layer before, and skips."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.edge import Architecture, DropPath, Edge, EdgeWeights, FanOut, FanOutEdge
from lightning_nas.fan_out import SharedFanOut
from lightning_nas.spaces.cell import weights_for
from lightning_nas.spaces.convolutions import FactorizedReduce
from lightning_nas.spaces.joined_width import JoinedConv, JoinedWidth
from lightning_nas.spaces.macro_skeleton import MacroSkeleton

SKIPS = ("absent", "present")
_PRESENT = SKIPS.index("present")


class MacroReduction(FactorizedReduce):
    """Halves the resolution of a stored output; unlike in cells, no ReLU comes before."""

    def forward(self, x: Tensor) -> Tensor:
        return self.halved(x)


class LayerParts(NamedTuple):
    """What exists of a layer.

    Args:
        edge: from the layer before to this one.
        row: of the edge, among the operations.
        operations: the candidates kept, by name.
        columns: of these candidates.
        skips: for each source that can be skipped from, the row among the skips.
        joins: whether the layer has skips to choose from; then a norm follows, whatever was chosen.
    """

    edge: Edge
    row: int
    operations: Mapping[str, nn.Module]
    columns: tuple[int, ...]
    skips: Mapping[int, int]
    joins: bool


class MacroLayer(nn.Module):
    """An operation on the output of the layer before, then the outputs that skips bring, and a norm.

    With `merge="add"` outputs are added. With "concatenate" ReLU and a 1x1 convolution take them side by side; it has
    one weight for each, so that the weights of a child are among those of the supernet.

    Args:
        parts: what exists of the layer.
        channels: of all its inputs and of its output.
        skeleton: sizes and norms.
        supernet: whether `forward` gets an architecture.
    """

    group_name = "ops"

    def __init__(self, parts: LayerParts, channels: int, skeleton: MacroSkeleton, supernet: bool) -> None:
        super().__init__()
        self.node, self.skips = parts.edge.node, dict(parts.skips)
        self.edges = nn.ModuleDict({parts.edge.key: nn.ModuleDict(parts.operations)})
        self.drop_path = DropPath()
        operations = dict(zip(parts.columns, parts.operations.values(), strict=True))
        run = SharedFanOut if skeleton.execution == "fan_out" else FanOut
        self._fan_out = run([FanOutEdge(parts.row, self.node, operations)], self.drop_path)
        self.projection: JoinedConv | None = None
        if parts.joins and skeleton.merge == "concatenate":
            self.projection = JoinedConv(JoinedWidth((*self.skips, self.node), channels), channels)
        self.norm = skeleton.edge_norm(supernet).build(channels) if parts.joins else None

    def read(self, architecture: Architecture | None) -> tuple[int, ...]:
        """The sources of the skips that run."""
        weights = weights_for(architecture, "skips")
        if weights is None or weights.active is None:
            return tuple(self.skips)
        return tuple(source for source, row in self.skips.items() if _PRESENT in weights.active[row])

    def forward(self, state: Tensor, skipped: Mapping[int, Tensor], architecture: Architecture | None) -> Tensor:
        """The layer's output.

        Args:
            state: output of the layer before, (B, C, H, W).
            skipped: outputs of the sources that `read` names, of the same shape.
            architecture: edge weights; None in a child.

        Raises:
            ValueError: the architecture runs no operation.
        """
        outputs = dict(self._fan_out(state, weights_for(architecture, "ops")))
        if not outputs:
            raise ValueError(f"No operation of layer {self.node} runs: the path is broken.")
        if self.norm is None:
            return outputs[self.node]
        weights = weights_for(architecture, "skips")
        total = self._joined({**skipped, **outputs}, weights)
        return cast(Tensor, self.norm(self._with_inactive(total, weights)))

    def _joined(self, states: Mapping[int, Tensor], weights: EdgeWeights | None) -> Tensor:
        if self.projection is not None:
            states = {source: F.relu(state) for source, state in states.items()}
        if weights is not None:
            states = {
                source: state if source == self.node else weights.values[self.skips[source], _PRESENT] * state
                for source, state in states.items()
            }
        if self.projection is not None:
            return cast(Tensor, self.projection(torch.cat(list(states.values()), dim=1), tuple(states)))
        first, *rest = states.values()
        for state in rest:
            first = first + state
        return first

    def _with_inactive(self, total: Tensor, weights: EdgeWeights | None) -> Tensor:
        """Add the weights of what was not drawn: zeros, through which they get a gradient."""
        if weights is None or weights.active is None or not weights.inactive_gradient:
            return total
        for row in self.skips.values():
            if 0 < len(weights.active[row]) < len(SKIPS):
                total = total + weights.not_run[row]
        return total
