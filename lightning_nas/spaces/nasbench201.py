"""NAS-Bench-201: one cell of six edges with five candidates each, in a residual skeleton.

Source: Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from lightning_nas.architecture.edges import Edge, EdgeGroup
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.operations import check_candidates
from lightning_nas.networks.skeleton import Skeleton, StagedSkeleton
from lightning_nas.networks.staged import StagedNetwork
from lightning_nas.spaces.base import EdgewiseSpace

NASBENCH201_CANDIDATES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


class NasBench201Space(EdgewiseSpace):
    """A complete graph of four nodes; every edge carries one of the candidates, and nodes sum.

    Args:
        nodes: nodes of a cell, its input included; 4 in the benchmark.
        candidates: operations in the order of the architecture parameters.

    Raises:
        ValueError: an unknown candidate, or fewer than 2 nodes.

    Example:
        >>> NasBench201Space().size
        15625
    """

    inactive_gradient = True

    def __init__(self, nodes: int = 4, candidates: Sequence[str] = NASBENCH201_CANDIDATES) -> None:
        if nodes < 2:
            raise ValueError(f"NasBench201Space(nodes={nodes}): give at least 2, the input and the output.")
        self.nodes = nodes
        self.candidates = check_candidates(tuple(candidates))

    @cached_property
    def groups(self) -> Mapping[str, EdgeGroup]:
        edges = tuple(Edge(node, source) for node in range(1, self.nodes) for source in range(node))
        return {"cell": EdgeGroup("cell", edges, self.candidates)}

    def build(self, genotype: Genotype | None, skeleton: Skeleton, execution: Execution = Execution()) -> StagedNetwork:
        if not isinstance(skeleton, StagedSkeleton):
            raise ValueError(f"NasBench201Space builds on a StagedSkeleton, not on a {type(skeleton).__name__}.")
        kept = self.kept(genotype)["cell"]
        return StagedNetwork(skeleton, self.groups["cell"], kept, genotype is None, execution)

    def skeleton(self, **sizes: object) -> StagedSkeleton:
        """The benchmark's skeleton: three stages of five cells, 16 channels."""
        return StagedSkeleton(**sizes)  # type: ignore[arg-type]

    def parse(self, text: str) -> Genotype:
        """`|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`: for each node its edges in the order of their sources."""
        choices = {}
        for node, part in enumerate(text.strip().split("+"), start=1):
            for operation, source in re.findall(r"([^|~]+)~(\d+)", part):
                choices[f"cell.{Edge(node, int(source)).key}"] = operation
        return self.genotype(choices)

    def format(self, genotype: Genotype) -> str:
        choices = self.check(genotype).as_mapping()
        parts = []
        for node in range(1, self.nodes):
            operations = (f"{choices[f'cell.{Edge(node, source).key}']}~{source}" for source in range(node))
            parts.append("|" + "|".join(operations) + "|")
        return "+".join(parts)
