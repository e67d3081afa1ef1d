"""The residual skeleton of NAS-Bench-201 (Dong & Yang 2020): supernet and child are one class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.architecture.edges import Architecture, Edge, EdgeGroup
from lightning_nas.execution.norm import Norm
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.cells import EdgeCell, cifar_stem, global_average, on_device, run_cell, weights_for
from lightning_nas.networks.convolutions import ReluConvNorm
from lightning_nas.networks.operations import CANDIDATES, Place
from lightning_nas.networks.skeleton import NetworkOutput, StagedSkeleton


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
        self,
        skeleton: StagedSkeleton,
        group: EdgeGroup,
        kept: Sequence[tuple[int, ...]],
        supernet: bool,
        execution: Execution = Execution(),
    ) -> None:
        super().__init__()
        self.skeleton, self.supernet, self.execution = skeleton, supernet, execution
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

            cells += [StagedCell(group, kept, operation, 1, execution) for _ in range(skeleton.cells_per_stage)]
        self.cells = nn.ModuleList(cells)
        self.last_norm = skeleton.outer_norm().build(channels)
        self.classifier = nn.Linear(channels, skeleton.classes)

    def forward(self, images: Tensor, architecture: Architecture | None = None) -> NetworkOutput:
        """Logits for images (B, C, H, W); a supernet takes the architecture to run."""
        architecture = on_device(architecture, images, self.supernet, self)
        x = self.stem(self.execution.laid_out(images, self.supernet))
        for cell in self.cells:
            x = run_cell(cell, self.execution, x, architecture) if isinstance(cell, StagedCell) else cell(x)
        return NetworkOutput(self.classifier(global_average(F.relu(self.last_norm(x)))))
