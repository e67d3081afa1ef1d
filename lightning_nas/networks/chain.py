"""The network of a convolutional chain (Zoph & Le 2017), whose layers read those before them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.execution.norm import Norm
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.cells import global_average, run_cell
from lightning_nas.networks.skeleton import NetworkOutput, Skeleton


class LayerSizes(NamedTuple):
    """One layer of a chain.

    Args:
        filters: channels that it gives.
        kernel: height and width of its filters, odd.
        stride: of height and width.
        sources: earlier layers that it reads; none reads the images.
    """

    filters: int
    kernel: tuple[int, int]
    stride: int
    sources: tuple[int, ...]


class ChainLayer(nn.Module):
    """Convolution, norm, ReLU, of its inputs side by side.

    The paper names batch norm and ReLU without their order: this is that of Ioffe & Szegedy 2015, whom it cites.
    """

    def __init__(self, inputs: int, sizes: LayerSizes, norm: Norm) -> None:
        super().__init__()
        height, width = sizes.kernel
        self.conv = nn.Conv2d(
            inputs, sizes.filters, sizes.kernel, sizes.stride, padding=(height // 2, width // 2), bias=False
        )
        self.norm = norm.build(sizes.filters)

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        return F.relu(cast(Tensor, self.norm(self.conv(side_by_side(inputs)))))


class ChainNetwork(nn.Module):
    """Layers one after the other, then global average pooling and a classifier of all layers that no layer reads.

    A layer without anchors reads the images. (Zoph & Le 2017, Section 3.3; the paper leaves the classifier open.)

    Args:
        layers: what each layer is.
        skeleton: sizes around them.
        execution: `checkpoint_cells` makes each layer compute its inside again; a chain has no edges to run together.
    """

    def __init__(self, layers: Sequence[LayerSizes], skeleton: Skeleton, execution: Execution = Execution()) -> None:
        super().__init__()
        self.skeleton, self.execution = skeleton, execution
        self.sources = tuple(sizes.sources for sizes in layers)
        read = {source for sizes in layers for source in sizes.sources}
        self.unread = tuple(index for index in range(len(layers)) if index not in read)
        norm = skeleton.edge_norm(supernet=False)
        self.layers = nn.ModuleList()
        for sizes in layers:
            inputs = sum(layers[source].filters for source in sizes.sources) or skeleton.in_channels
            self.layers.append(ChainLayer(inputs, sizes, norm))
        self.classifier = nn.Linear(sum(layers[index].filters for index in self.unread), skeleton.classes)

    def forward(self, images: Tensor) -> NetworkOutput:
        """Logits for images (B, C, H, W)."""
        outputs: list[Tensor] = []
        for layer, sources in zip(self.layers, self.sources, strict=True):
            inputs = [outputs[source] for source in sources] or [images]
            outputs.append(run_cell(layer, self.execution, inputs))
        last = side_by_side([outputs[index] for index in self.unread])
        return NetworkOutput(self.classifier(global_average(last)))


def side_by_side(images: Sequence[Tensor]) -> Tensor:
    """Images (B, C, H, W) concatenated in the channels; smaller ones get zeros below and on the right.

    Example:
        >>> side_by_side([torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 2)]).flatten().tolist()
        [1.0, 0.0, 1.0, 1.0]
    """
    height, width = (max(x.shape[axis] for x in images) for axis in (2, 3))
    sized = [
        x if x.shape[2:] == (height, width) else F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]))
        for x in images
    ]
    return sized[0] if len(sized) == 1 else torch.cat(sized, dim=1)
