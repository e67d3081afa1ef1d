"""NAS-Bench-201: one cell of six edges with five candidates each, in a residual skeleton.

Source: Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.edge import Architecture, Edge, EdgeGroup
from lightning_nas.genotype import Genotype
from lightning_nas.norm import Norm
from lightning_nas.skeleton import NetworkOutput, Skeleton, StagedSkeleton
from lightning_nas.space import EdgewiseSpace
from lightning_nas.spaces.cell import EdgeCell, cifar_stem, global_average, laid_out, on_device, weights_for
from lightning_nas.spaces.checkpoint import run_cell
from lightning_nas.spaces.convolutions import ReluConvNorm
from lightning_nas.spaces.operations import CANDIDATES, Place, check_candidates

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

    def build(self, genotype: Genotype | None, skeleton: Skeleton) -> StagedNetwork:
        if not isinstance(skeleton, StagedSkeleton):
            raise ValueError(f"NasBench201Space builds on a StagedSkeleton, not on a {type(skeleton).__name__}.")
        return StagedNetwork(skeleton, self.groups["cell"], self.kept(genotype)["cell"], supernet=genotype is None)

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


class ResidualReduction(nn.Module):
    """A basic block of ResNet that halves the resolution; the shortcut is average pooling and a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.conv_a = ReluConvNorm(inputs, outputs, 3, 2, norm)
        self.conv_b = ReluConvNorm(outputs, outputs, 3, 1, norm)
        self.downsample = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        # Rounding up keeps odd sizes equal on both branches; even sizes are unaffected.
        shortcut = self.downsample(F.avg_pool2d(x, 2, ceil_mode=True))
        return cast(Tensor, shortcut + self.conv_b(self.conv_a(x)))


class StagedCell(EdgeCell):
    """One NAS-Bench-201 cell: the last node is its output."""

    def forward(self, x: Tensor, architecture: Architecture | None) -> Tensor:
        return self.run([x], weights_for(architecture, self.group_name))[-1]


class StagedNetwork(nn.Module):
    """Stem, three stages of cells with reductions between, norm, ReLU, global average pooling, classifier."""

    def __init__(
        self, skeleton: StagedSkeleton, group: EdgeGroup, kept: Sequence[tuple[int, ...]], supernet: bool
    ) -> None:
        super().__init__()
        self.skeleton, self.supernet = skeleton, supernet
        channels, norm = skeleton.channels, skeleton.edge_norm(supernet)
        self.stem = cifar_stem(skeleton, channels)
        cells: list[nn.Module] = []
        for stage in range(3):
            if stage:
                cells.append(ResidualReduction(channels, 2 * channels, skeleton.outer_norm()))
                channels *= 2
            place = Place(channels, 1, norm)

            def operation(_edge: Edge, candidate: str, place: Place = place) -> nn.Module:
                return CANDIDATES[candidate](place)

            cells += [
                StagedCell(group, kept, operation, 1, skeleton.execution) for _ in range(skeleton.cells_per_stage)
            ]
        self.cells = nn.ModuleList(cells)
        self.last_norm = skeleton.outer_norm().build(channels)
        self.classifier = nn.Linear(channels, skeleton.classes)

    def forward(self, images: Tensor, architecture: Architecture | None = None) -> NetworkOutput:
        """Logits for images (B, C, H, W); a supernet takes the architecture to run."""
        architecture = on_device(architecture, images, self.supernet, self)
        images = laid_out(images, self.skeleton, self.supernet)
        x = self.stem(images)
        for cell in self.cells:
            x = run_cell(cell, self.skeleton, x, architecture) if isinstance(cell, StagedCell) else cell(x)
        return NetworkOutput(self.classifier(global_average(F.relu(self.last_norm(x)))))
