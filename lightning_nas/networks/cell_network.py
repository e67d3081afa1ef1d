"""What cells with two inputs make of the states that they read, computed when a state is there, for all its readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.architecture.edges import Architecture
from lightning_nas.execution.joint import joint_conv, joint_norm
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.cells import cifar_stem, global_average, imagenet_stem, on_device, run_cell
from lightning_nas.networks.convolutions import ReluConvNorm
from lightning_nas.networks.joined_width import linear, pointwise_conv
from lightning_nas.networks.skeleton import CellSkeleton, NetworkOutput
from lightning_nas.networks.two_input_cells import TwoInputCell

Reader = tuple[int, int]
"""Index of a cell and which of its inputs, 0 or 1."""


class Preparation:
    """Inputs of cells, as their `preprocess0` and `preprocess1` would give them.

    Two cells read what a cell gives. Both begin with ReLU, which is computed once, and where both go on with a 1x1
    convolution and a norm, one convolution and one norm serve both: the wide state is read once, and its gradient
    is not added up.

    Args:
        cells: of the network, with `preprocess0` and `preprocess1`, all of which have `rectified`.
    """

    def __init__(self, cells: Sequence[nn.Module]) -> None:
        self.cells = cells
        self._ready: dict[Reader, Tensor] = {}

    def give(self, state: Tensor, readers: Sequence[Reader]) -> None:
        """Prepare a state for those readers that exist."""
        readers = [reader for reader in readers if reader[0] < len(self.cells)]
        modules = [getattr(self.cells[index], f"preprocess{which}") for index, which in readers]
        if modules:
            self._ready.update(zip(readers, _read(F.relu(state, inplace=True), modules), strict=True))

    def take(self, index: int) -> tuple[Tensor, Tensor]:
        """Both inputs of a cell, each to be taken once."""
        return self._ready.pop((index, 0)), self._ready.pop((index, 1))


def _read(x: Tensor, modules: Sequence[Any]) -> list[Tensor]:
    """What the modules give for a state that ReLU has passed."""
    alike = [module for module in modules if type(module) is ReluConvNorm]
    if len(alike) < 2 or len({module.conv.out_channels for module in alike}) > 1:
        return [cast(Tensor, module.rectified(x)) for module in modules]
    joint = joint_norm([module.norm for module in alike], joint_conv([module.conv for module in alike], x))
    parts = iter(joint.chunk(len(alike), 1))
    return [next(parts) if module in alike else cast(Tensor, module.rectified(x)) for module in modules]


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


CellBuilder = Callable[[int, int, int, bool, bool], TwoInputCell]
"""(channels before last, channels last, channels, reduction, whether the cell before reduced) -> cell."""


class CellNetwork(nn.Module):
    """Stem, cells with two inputs, global average pooling, classifier (Zoph et al. 2018; Liu et al. 2019).

    Args:
        skeleton: sizes around the cells.
        build_cell: makes one cell.
        supernet: whether `forward` takes an architecture.
        execution: how it is run.
    """

    def __init__(
        self, skeleton: CellSkeleton, build_cell: CellBuilder, supernet: bool, execution: Execution = Execution()
    ) -> None:
        super().__init__()
        self.skeleton, self.supernet, self.execution = skeleton, supernet, execution
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
        fast = execution.together and not execution.checkpoint_cells
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
        images = self.execution.laid_out(images, self.supernet)
        if self.skeleton.stem == "imagenet":
            before_last = self.stem0(images)
            last = self.stem1(before_last)
        else:
            before_last = last = self.stem(images)
        preparation = self._preparation(before_last, last) if self.training and self.prepares else None
        auxiliary = None
        for index, cell in enumerate(self.cells):
            if preparation is None:
                before_last, last = last, run_cell(cell, self.execution, before_last, last, architecture)
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
