"""Loose ends: the states of a cell that no block reads, which side by side are its output (Zoph et al. 2018)."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from lightning_nas.edge import Edge, EdgeGroup, EdgeWeights


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
