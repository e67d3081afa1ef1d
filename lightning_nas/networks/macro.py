"""The network of ENAS's macro space (Pham et al. 2018): supernet and child are one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.architecture.edges import Architecture, Edge, EdgeGroup, EdgeWeights
from lightning_nas.execution.reference import DropPath, FanOutEdge
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.cells import cifar_stem, global_average, on_device, run_cell, weights_for
from lightning_nas.networks.convolutions import FactorizedReduce
from lightning_nas.networks.joined_width import JoinedConv, JoinedWidth
from lightning_nas.networks.operations import CANDIDATES, Place
from lightning_nas.networks.skeleton import MacroSkeleton, NetworkOutput

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
        candidates: the names of all that can be chosen, by column.
        skips: for each source that can be skipped from, the row among the skips.
        joins: whether the layer has skips to choose from; then a norm follows, whatever was chosen.
    """

    edge: Edge
    row: int
    operations: Mapping[str, nn.Module]
    candidates: tuple[str, ...]
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
        execution: how the operation is run.
    """

    group_name = "ops"

    def __init__(
        self, parts: LayerParts, channels: int, skeleton: MacroSkeleton, supernet: bool, execution: Execution
    ) -> None:
        super().__init__()
        self.node, self.skips = parts.edge.node, dict(parts.skips)
        self.edges = nn.ModuleDict({parts.edge.key: nn.ModuleDict(parts.operations)})
        self.drop_path = DropPath()
        edge = FanOutEdge(parts.row, self.node, parts.edge.key)
        self._fan_out = execution.fan_out(self.edges, parts.candidates, [edge], self.drop_path)
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


Kept = Mapping[str, Sequence[tuple[int, ...]]]
"""Candidates that exist on each edge of each group, by index."""


def stages(layers: int) -> tuple[int, ...]:
    """For the stem and each layer, how many reductions lie before: one after each third of the layers.

    Example:
        >>> stages(7), stages(2)
        ((0, 0, 0, 1, 1, 2, 2, 2), (0, 0, 0))
    """
    third = layers // 3
    return tuple((state > third) + (state > 2 * third) if third else 0 for state in range(layers + 1))


class MacroNetwork(nn.Module):
    """Stem, layers one after the other, global average pooling, dropout, classifier.

    State 0 is the stem's output, state k that of layer k. A reduction brings every stored state to the next resolution,
    each with weights of its own; those that no later layer reads are left out.

    Args:
        skeleton: sizes around the layers.
        groups: "ops", the chain of layers, and "skips".
        kept: what exists of them.
        supernet: whether `forward` takes an architecture.
        execution: how it is run.
    """

    def __init__(
        self,
        skeleton: MacroSkeleton,
        groups: Mapping[str, EdgeGroup],
        kept: Kept,
        supernet: bool,
        execution: Execution = Execution(),
    ) -> None:
        super().__init__()
        self.skeleton, self.supernet, self.execution = skeleton, supernet, execution
        self.stages = stages(len(groups["ops"].edges))
        self.stem = cifar_stem(skeleton, skeleton.channels)
        self.layers = nn.ModuleList(
            MacroLayer(self._parts(row, groups, kept), self._width(self.stages[row + 1]), skeleton, supernet, execution)
            for row in range(len(groups["ops"].edges))
        )
        norm = skeleton.edge_norm(supernet)
        self.reductions = nn.ModuleDict(
            {
                f"{source}_{stage}": MacroReduction(self._width(stage - 1), self._width(stage), norm)
                for source, stage in self._reduced(groups, kept)
            }
        )
        self.dropout = nn.Dropout(skeleton.dropout)
        self.classifier = nn.Linear(self._width(self.stages[-1]), skeleton.classes)

    def _width(self, stage: int) -> int:
        return int(self.skeleton.channels * self.skeleton.growth**stage)

    def _parts(self, row: int, groups: Mapping[str, EdgeGroup], kept: Kept) -> LayerParts:
        ops, skips, columns = groups["ops"], groups["skips"], kept["ops"][row]
        edge = ops.edges[row]
        place = Place(self._width(self.stages[edge.node]), 1, self.skeleton.edge_norm(self.supernet))
        operations = {ops.candidates[column]: CANDIDATES[ops.candidates[column]](place) for column in columns}
        possible = {skip.source: index for index, skip in enumerate(skips.edges) if skip.node == edge.node}
        existing = {source: index for source, index in possible.items() if kept["skips"][index]}
        return LayerParts(edge, row, operations, ops.candidates, existing, bool(possible))

    def _reduced(self, groups: Mapping[str, EdgeGroup], kept: Kept) -> list[tuple[int, int]]:
        """(state, stage) of the reductions that some layer needs."""
        found = set()
        for name, group in groups.items():
            for edge, columns in zip(group.edges, kept[name], strict=True):
                if columns:
                    later = range(self.stages[edge.source] + 1, self.stages[edge.node] + 1)
                    found |= {(edge.source, stage) for stage in later}
        return sorted(found)

    def forward(self, images: Tensor, architecture: Architecture | None = None) -> NetworkOutput:
        """Logits for images (B, C, H, W); a supernet takes the architecture to run."""
        architecture = on_device(architecture, images, self.supernet, self)
        states = [{0: self.stem(self.execution.laid_out(images, self.supernet))}]  # each at its stages
        for node, layer in enumerate(self.layers, start=1):
            stage = self.stages[node]
            sources = cast(MacroLayer, layer).read(architecture)
            skipped = {source: self._at(states, source, stage) for source in sources}
            last = self._at(states, node - 1, stage)
            states.append({stage: run_cell(layer, self.execution, last, skipped, architecture)})
        features = global_average(states[-1][self.stages[-1]])
        return NetworkOutput(self.classifier(self.dropout(features)))

    def _at(self, states: Sequence[dict[int, Tensor]], source: int, stage: int) -> Tensor:
        """A state at the resolution of a stage; reduced when first asked for, so that norms of others do not move."""
        versions = states[source]
        if stage not in versions:
            versions[stage] = self.reductions[f"{source}_{stage}"](self._at(states, source, stage - 1))
        return versions[stage]
