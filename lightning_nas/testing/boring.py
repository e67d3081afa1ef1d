"""A space and data as small as they can be, for tests of searches, callbacks and methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_nas.config import Configurable
from lightning_nas.edge import Architecture, Edge, EdgeGroup
from lightning_nas.genotype import Genotype
from lightning_nas.skeleton import NetworkOutput, Skeleton
from lightning_nas.space import EdgewiseSpace
from lightning_nas.spaces.cell import EdgeCell, cifar_stem, on_device, weights_for
from lightning_nas.spaces.checkpoint import run_cell
from lightning_nas.spaces.operations import CANDIDATES, Place


@dataclass(frozen=True)
class BoringSkeleton(Skeleton):
    """A stem, one cell and a classifier."""

    channels: int = 4

    @property
    def minimum_size(self) -> int:
        return 3


class BoringSpace(EdgewiseSpace):
    """One cell of two nodes and three edges, each with a pool, a skip connection or a convolution: 27 networks.

    Example:
        >>> space = BoringSpace()
        >>> space.size, space.groups["cell"].shape
        (27, (3, 3))
    """

    @cached_property
    def groups(self) -> Mapping[str, EdgeGroup]:
        edges = (Edge(1, 0), Edge(2, 0), Edge(2, 1))
        return {"cell": EdgeGroup("cell", edges, ("avg_pool_3x3", "skip_connect", "nor_conv_3x3"))}

    def build(self, genotype: Genotype | None, skeleton: Skeleton) -> BoringNetwork:
        return BoringNetwork(skeleton, self.groups["cell"], self.kept(genotype)["cell"], supernet=genotype is None)

    def skeleton(self, **sizes: object) -> BoringSkeleton:
        return BoringSkeleton(**sizes)  # type: ignore[arg-type]


class BoringCell(EdgeCell):
    """The cell of a `BoringNetwork`; its last node is its output."""

    def forward(self, x: Tensor, architecture: Architecture | None) -> Tensor:
        return self.run([x], weights_for(architecture, "cell"))[-1]


class BoringNetwork(nn.Module):
    """The network of a `BoringSpace`."""

    def __init__(self, skeleton: Skeleton, group: EdgeGroup, kept: tuple[tuple[int, ...], ...], supernet: bool) -> None:
        super().__init__()
        place = Place(skeleton.channels, 1, skeleton.edge_norm(supernet))
        self.skeleton, self.supernet = skeleton, supernet
        self.stem = cifar_stem(skeleton, skeleton.channels)
        self.cell = BoringCell(group, kept, lambda _, name: CANDIDATES[name](place), 1, skeleton.execution)
        self.classifier = nn.Linear(skeleton.channels, skeleton.classes)

    def forward(self, images: Tensor, architecture: Architecture | None = None) -> NetworkOutput:
        """Logits for images (B, C, H, W); a supernet takes the architecture to run."""
        architecture = on_device(architecture, images, self.supernet, self)
        x = run_cell(self.cell, self.skeleton, self.stem(images), architecture)
        return NetworkOutput(self.classifier(x.mean((2, 3))))


class BoringData(L.LightningDataModule, Configurable):
    """Random images and labels, the same for the same seed.

    Training batches are `{"train": (images, labels), "val": (images, labels)}` as a bilevel search needs them; those of
    validation, test and prediction are (images, labels).

    Args:
        classes: number of classes.
        shape: (channels, height, width) of the images.
        batch_size: images in a batch.
        batches: batches in an epoch.
        bilevel: False gives plain training batches (images, labels).
        seed: seed of the images and labels.

    Example:
        >>> batch, _, _ = next(iter(BoringData(batch_size=4).train_dataloader()))
        >>> batch["train"][0].shape, batch["val"][1].shape
        (torch.Size([4, 3, 8, 8]), torch.Size([4]))
    """

    def __init__(
        self,
        classes: int = 10,
        shape: tuple[int, int, int] = (3, 8, 8),
        batch_size: int = 4,
        batches: int = 2,
        bilevel: bool = True,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.classes, self.shape, self.bilevel, self.seed = classes, tuple(shape), bilevel, seed
        self.batch_size, self.batches = batch_size, batches

    def _loader(self, part: int, shuffle: bool = False) -> DataLoader[Any]:
        source = torch.Generator().manual_seed(10 * self.seed + part)
        count = self.batch_size * self.batches
        images = torch.randn(count, *self.shape, generator=source)
        labels = torch.randint(self.classes, (count,), generator=source)
        return DataLoader(TensorDataset(images, labels), self.batch_size, shuffle=shuffle)

    def train_dataloader(self) -> DataLoader[Any] | CombinedLoader:
        if not self.bilevel:
            return self._loader(0, shuffle=True)
        halves = {"train": self._loader(0, shuffle=True), "val": self._loader(1, shuffle=True)}
        return CombinedLoader(halves, "min_size")

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader(2)

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader(3)

    def predict_dataloader(self) -> DataLoader[Any]:
        return self._loader(4)
