"""The network of ENAS's macro space (Pham et al. 2018): supernet and child are one class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor, nn

from lightning_nas.edge import Architecture, EdgeGroup
from lightning_nas.skeleton import NetworkOutput
from lightning_nas.spaces.cell import cifar_stem, global_average, laid_out, on_device
from lightning_nas.spaces.checkpoint import run_cell
from lightning_nas.spaces.macro_layer import LayerParts, MacroLayer, MacroReduction
from lightning_nas.spaces.macro_skeleton import MacroSkeleton
from lightning_nas.spaces.operations import CANDIDATES, Place

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
    """

    def __init__(self, skeleton: MacroSkeleton, groups: Mapping[str, EdgeGroup], kept: Kept, supernet: bool) -> None:
        super().__init__()
        self.skeleton, self.supernet = skeleton, supernet
        self.stages = stages(len(groups["ops"].edges))
        self.stem = cifar_stem(skeleton, skeleton.channels)
        self.layers = nn.ModuleList(
            MacroLayer(self._parts(row, groups, kept), self._width(self.stages[row + 1]), skeleton, supernet)
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
        return LayerParts(edge, row, operations, tuple(columns), existing, bool(possible))

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
        states = [{0: self.stem(laid_out(images, self.skeleton, self.supernet))}]  # each at its stages
        for node, layer in enumerate(self.layers, start=1):
            stage = self.stages[node]
            sources = cast(MacroLayer, layer).read(architecture)
            skipped = {source: self._at(states, source, stage) for source in sources}
            last = self._at(states, node - 1, stage)
            states.append({stage: run_cell(layer, self.skeleton, last, skipped, architecture)})
        features = global_average(states[-1][self.stages[-1]])
        return NetworkOutput(self.classifier(self.dropout(features)))

    def _at(self, states: Sequence[dict[int, Tensor]], source: int, stage: int) -> Tensor:
        """A state at the resolution of a stage; reduced when first asked for, so that norms of others do not move."""
        versions = states[source]
        if stage not in versions:
            versions[stage] = self.reductions[f"{source}_{stage}"](self._at(states, source, stage - 1))
        return versions[stage]
