"""The network that stacks cells with two inputs: supernet and child are one class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.edge import Architecture
from lightning_nas.skeleton import CellSkeleton, NetworkOutput
from lightning_nas.spaces.cell import cifar_stem, global_average, imagenet_stem, laid_out, on_device
from lightning_nas.spaces.checkpoint import run_cell
from lightning_nas.spaces.joined_width import linear, pointwise_conv
from lightning_nas.spaces.preparation import Preparation


class AuxiliaryHead(nn.Module):
    """Second classifier on the features at 2/3 of the depth, for 8x8 (CIFAR) and 7x7 (ImageNet) features or larger.

    Source: Liu et al. 2019, whose ImageNet head has no second norm.
    """

    def __init__(self, inputs: int, skeleton: CellSkeleton) -> None:
        super().__init__()
        imagenet = skeleton.stem == "imagenet"
        self.stride = 2 if imagenet else 3
        self.conv_1 = pointwise_conv(inputs, 128)
        self.norm_1 = skeleton.outer_norm().build(128)
        self.conv_2 = nn.Conv2d(128, 768, 2, bias=False)
        self.norm_2: nn.Module = nn.Identity() if imagenet else skeleton.outer_norm().build(768)
        self.classifier = nn.Linear(768, skeleton.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(F.relu(x), 5, self.stride, count_include_pad=False)
        x = F.relu(self.norm_1(self.conv_1(x)))
        x = F.relu(self.norm_2(self.conv_2(x)))
        return cast(Tensor, self.classifier(x.mean((2, 3))))


class TwoInputCell(nn.Module):
    """Base of cells that read the last two cells.

    `outputs` is the number of channels that they give: a `JoinedWidth` if it depends on the genotype. A cell that reads
    its inputs by `preprocess0` and `preprocess1` alone, each with a method `rectified`, says so with `takes_prepared`:
    then it may get what these give, with `prepared=True`.
    """

    outputs: int
    takes_prepared = False

    def forward(
        self, before_last: Tensor, last: Tensor, architecture: Architecture | None, prepared: bool = False
    ) -> Tensor:
        raise NotImplementedError


CellBuilder = Callable[[int, int, int, bool, bool], TwoInputCell]
"""(channels before last, channels last, channels, reduction, whether the cell before reduced) -> cell."""


class CellNetwork(nn.Module):
    """Stem, cells with two inputs, global average pooling, classifier (Zoph et al. 2018; Liu et al. 2019).

    Args:
        skeleton: sizes around the cells.
        build_cell: makes one cell.
        supernet: whether `forward` takes an architecture.
    """

    def __init__(self, skeleton: CellSkeleton, build_cell: CellBuilder, supernet: bool) -> None:
        super().__init__()
        self.skeleton, self.supernet = skeleton, supernet
        reduced = skeleton.stem == "imagenet"
        if reduced:
            self.stem0, self.stem1 = imagenet_stem(skeleton)
            before_last = last = skeleton.channels
        else:
            before_last = last = skeleton.stem_multiplier * skeleton.channels
            self.stem = cifar_stem(skeleton, last)
        channels, cells = skeleton.channels, []
        self.auxiliary_head: AuxiliaryHead | None = None
        for index in range(skeleton.cells):
            reduction = index in skeleton.reductions
            channels *= 2 if reduction else 1
            cell = build_cell(before_last, last, channels, reduction, reduced)
            cells.append(cell)
            before_last, last, reduced = last, cell.outputs, reduction
            if skeleton.auxiliary and index == skeleton.reductions[-1]:
                self.auxiliary_head = AuxiliaryHead(last, skeleton)
        self.cells = nn.ModuleList(cells)
        fast = skeleton.execution == "fan_out" and not skeleton.checkpoint_cells
        self.prepares = fast and all(cell.takes_prepared for cell in cells)
        self.classifier = linear(last, skeleton.classes)

    def readers(self) -> Iterator[tuple[int, str]]:
        """For each cell the names of the modules that read its output."""
        for index in range(self.skeleton.cells):
            if index + 1 == self.skeleton.cells:
                yield index, "classifier"
            else:
                yield index, f"cells.{index + 1}.preprocess1"
            if index + 2 < self.skeleton.cells:
                yield index, f"cells.{index + 2}.preprocess0"
            if self.auxiliary_head is not None and index == self.skeleton.reductions[-1]:
                yield index, "auxiliary_head.conv_1"

    def forward(self, images: Tensor, architecture: Architecture | None = None) -> NetworkOutput:
        """Logits for images (B, C, H, W); a supernet takes the architecture to run."""
        architecture = on_device(architecture, images, self.supernet, self)
        images = laid_out(images, self.skeleton, self.supernet)
        if self.skeleton.stem == "imagenet":
            before_last = self.stem0(images)
            last = self.stem1(before_last)
        else:
            before_last = last = self.stem(images)
        preparation = self._preparation(before_last, last) if self.training and self.prepares else None
        auxiliary = None
        for index, cell in enumerate(self.cells):
            if preparation is None:
                before_last, last = last, run_cell(cell, self.skeleton, before_last, last, architecture)
            else:
                last = cell(*preparation.take(index), architecture, prepared=True)
                preparation.give(last, [(index + 1, 1), (index + 2, 0)])
            if self.training and self.auxiliary_head is not None and index == self.skeleton.reductions[-1]:
                auxiliary = self.auxiliary_head(last)
        return NetworkOutput(self.classifier(global_average(last)), auxiliary)

    def _preparation(self, before_last: Tensor, last: Tensor) -> Preparation:
        """What the first cells make of the stem's outputs."""
        preparation = Preparation(list(self.cells))
        if before_last is last:
            preparation.give(last, [(0, 0), (0, 1), (1, 0)])
        else:
            preparation.give(before_last, [(0, 0)])
            preparation.give(last, [(0, 1), (1, 0)])
        return preparation
