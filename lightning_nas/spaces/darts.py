"""The DARTS space: normal and reduction cells of four nodes, two inputs a node, seven operations and `none`.

Source: Liu, Simonyan & Yang, "DARTS: Differentiable Architecture Search", ICLR 2019. With `reduction="fixed"` it is the
variant of Dong & Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019 (GDAS with FRC).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

from lightning_nas.architecture.decisions import Decision
from lightning_nas.architecture.edges import Edge, EdgeGroup
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.execution.settings import Execution
from lightning_nas.functional.relax import pair_shares, without
from lightning_nas.networks.cell_network import CellNetwork
from lightning_nas.networks.fixed_reduction import FixedReductionCell
from lightning_nas.networks.operations import check_candidates
from lightning_nas.networks.skeleton import CellSkeleton, Skeleton
from lightning_nas.networks.two_input_cells import DartsCell, TwoInputCell
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.spaces.text import format_cells, parse_cells

DARTS_CANDIDATES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


class DartsSpace(SupernetSpace):
    """Cells whose nodes each take two different earlier states through one operation each; the nodes are concatenated.

    Args:
        nodes: intermediate nodes of a cell, 4 in the paper.
        candidates: operations in the order of the architecture parameters; `none` takes part in the search and is
            never chosen.
        reduction: "search" finds a reduction cell too; "fixed" uses the one that the authors of GDAS designed.

    Raises:
        ValueError: an unknown candidate, or nothing to choose from.

    Example:
        >>> space = DartsSpace()
        >>> space.groups["normal"].shape, f"{space.size:.1e}"
        ((14, 8), '1.1e+18')
    """

    def __init__(
        self,
        nodes: int = 4,
        candidates: Sequence[str] = DARTS_CANDIDATES,
        reduction: Literal["search", "fixed"] = "search",
    ) -> None:
        self.nodes = nodes
        self.candidates = check_candidates(tuple(candidates))
        self.reduction = reduction
        if nodes < 1:
            raise ValueError(f"DartsSpace(nodes={nodes}): give at least 1.")
        if reduction not in ("search", "fixed"):
            raise ValueError(f"DartsSpace(reduction={reduction!r}): give 'search' or 'fixed'.")
        if not self.operations:
            raise ValueError(f"DartsSpace(candidates={list(candidates)}): name a candidate besides 'none'.")

    @property
    def operations(self) -> tuple[str, ...]:
        """The candidates that a genotype can hold: all but `none`."""
        return tuple(name for name in self.candidates if name != "none")

    @cached_property
    def groups(self) -> Mapping[str, EdgeGroup]:
        edges = tuple(Edge(node, source) for node in self._node_indices for source in range(node))
        names = ("normal",) if self.reduction == "fixed" else ("normal", "reduce")
        return {name: EdgeGroup(name, edges, self.candidates) for name in names}

    @property
    def _node_indices(self) -> range:
        return range(2, 2 + self.nodes)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """For each node a pair of different sources as one decision, and an operation for each of them."""
        found = []
        for group in self.groups:
            for node in self._node_indices:
                pairs = tuple(f"{a},{b}" for a, b in combinations(range(node), 2))
                found.append(Decision(f"{group}.{node}.inputs", pairs))
                found += [Decision(f"{group}.{node}.op{slot}", self.operations) for slot in (0, 1)]
        return tuple(found)

    def selection(self, genotype: Genotype) -> dict[str, tuple[int | None, ...]]:
        choices = genotype.as_mapping()
        chosen = {}
        for name, group in self.groups.items():
            kept: dict[Edge, int] = {}
            for node in self._node_indices:
                sources = choices[f"{name}.{node}.inputs"].split(",")
                for slot, source in enumerate(sources):
                    kept[Edge(node, int(source))] = self.candidates.index(choices[f"{name}.{node}.op{slot}"])
            chosen[name] = tuple(kept.get(edge) for edge in group.edges)
        return chosen

    def discretize(self, probabilities: Mapping[str, Tensor]) -> Genotype:
        """The two strongest edges of each node, each with its strongest operation but `none` (the authors' rule)."""
        columns = [self.candidates.index(name) for name in self.operations]
        choices: dict[str, str] = {}
        for name, group in self.groups.items():
            rows = probabilities[name].tolist()
            best = [max(columns, key=lambda column: row[column]) for row in rows]
            strength = {edge: rows[i][best[i]] for i, edge in enumerate(group.edges)}
            for node in self._node_indices:
                edges = sorted((e for e in group.edges if e.node == node), key=lambda edge: -strength[edge])[:2]
                edges.sort(key=lambda edge: edge.source)
                choices[f"{name}.{node}.inputs"] = ",".join(str(edge.source) for edge in edges)
                for slot, edge in enumerate(edges):
                    choices[f"{name}.{node}.op{slot}"] = self.candidates[best[group.edges.index(edge)]]
        return self.genotype(choices)

    def inclusion(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Operations given that they are not `none`, on edges of which two are drawn for each node by their strength.

        The strength of an edge is that of its strongest operation, as in `discretize`.
        """
        excluded = [column for column, name in enumerate(self.candidates) if name == "none"]
        columns = [self.candidates.index(name) for name in self.operations]
        found = {}
        for name, group in self.groups.items():
            # Not with a list of columns as index: it is copied to the device, which waits for it.
            chances = probabilities[name].unbind(1)
            strength_E = torch.stack([chances[column] for column in columns], 1).amax(-1)
            counts = [sum(edge.node == node for edge in group.edges) for node in self._node_indices]
            kept_E = torch.cat([pair_shares(part) for part in torch.split(strength_E, counts)])
            found[name] = kept_E.unsqueeze(-1) * without(probabilities[name], excluded)
        return found

    def build(self, genotype: Genotype | None, skeleton: Skeleton, execution: Execution = Execution()) -> CellNetwork:
        if not isinstance(skeleton, CellSkeleton):
            raise ValueError(f"DartsSpace builds on a CellSkeleton, not on a {type(skeleton).__name__}.")
        kept, supernet = self.kept(genotype), genotype is None

        def cell(before_last: int, last: int, channels: int, reduction: bool, reduced: bool) -> TwoInputCell:
            if reduction and self.reduction == "fixed":
                return FixedReductionCell(before_last, last, channels, reduced, skeleton.edge_norm(supernet))
            group = self.groups["reduce" if reduction else "normal"]
            widths = before_last, last, channels
            return DartsCell(widths, group, kept[group.name], reduction, reduced, skeleton, supernet, execution)

        return CellNetwork(skeleton, cell, supernet, execution)

    def skeleton(self, **sizes: object) -> CellSkeleton:
        """The search skeleton of the paper: 8 cells, 16 channels, CIFAR stem."""
        return CellSkeleton(**sizes)  # type: ignore[arg-type]

    def parse(self, text: str) -> Genotype:
        """`Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=[2, 3, 4, 5], reduce=..., reduce_concat=...)`."""
        choices: dict[str, str] = {}
        cells = parse_cells(text, tuple(self.groups), concat=lambda _nodes: tuple(self._node_indices))
        for name, nodes in cells.items():
            if len(nodes) != self.nodes:
                raise ValueError(f"The text holds {len(nodes)} nodes in {name}, the space has {self.nodes}.")
            for node, inputs in zip(self._node_indices, nodes, strict=True):
                ordered = sorted(inputs, key=lambda pair: pair[1])
                choices[f"{name}.{node}.inputs"] = ",".join(str(source) for _, source in ordered)
                choices.update({f"{name}.{node}.op{slot}": op for slot, (op, _) in enumerate(ordered)})
        return self.genotype(choices)

    def format(self, genotype: Genotype) -> str:
        choices = self.check(genotype).as_mapping()
        cells = {}
        for name in self.groups:
            cells[name] = [
                [(choices[f"{name}.{node}.op{slot}"], int(source)) for slot, source in enumerate(sources.split(","))]
                for node in self._node_indices
                for sources in [choices[f"{name}.{node}.inputs"]]
            ]
        return format_cells(cells, concat=lambda _nodes: tuple(self._node_indices))
