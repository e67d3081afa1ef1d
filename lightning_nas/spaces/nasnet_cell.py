"""The cell of the NASNet space (Zoph et al. 2018), in a supernet and in a child."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_nas.edge import Architecture, EdgeGroup
from lightning_nas.skeleton import CellSkeleton
from lightning_nas.spaces.cell import weights_for
from lightning_nas.spaces.darts import DartsCell
from lightning_nas.spaces.joined_width import JoinedWidth
from lightning_nas.spaces.loose_ends import Looseness, loose_ends


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
    ) -> None:
        super().__init__(widths, group, kept, reduction, reduced, skeleton, supernet)
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
