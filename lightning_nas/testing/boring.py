"""A space and data as small as they can be, for tests of searches, callbacks and methods, and work that tests share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import lightning as L
import torch
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lightning_nas.architecture.edges import Architecture, Edge, EdgeGroup
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.config import Configurable
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.cells import EdgeCell, cifar_stem, on_device, run_cell, weights_for
from lightning_nas.networks.operations import CANDIDATES, Place
from lightning_nas.networks.skeleton import NetworkOutput, Skeleton
from lightning_nas.spaces.base import EdgewiseSpace

T = TypeVar("T")


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

    def build(self, genotype: Genotype | None, skeleton: Skeleton, execution: Execution = Execution()) -> BoringNetwork:
        kept = self.kept(genotype)["cell"]
        return BoringNetwork(skeleton, self.groups["cell"], kept, genotype is None, execution)

    def skeleton(self, **sizes: object) -> BoringSkeleton:
        return BoringSkeleton(**sizes)  # type: ignore[arg-type]


class BoringCell(EdgeCell):
    """The cell of a `BoringNetwork`; its last node is its output."""

    def forward(self, x: Tensor, architecture: Architecture | None) -> Tensor:
        return self.run([x], weights_for(architecture, "cell"))[-1]


class BoringNetwork(nn.Module):
    """The network of a `BoringSpace`."""

    def __init__(
        self,
        skeleton: Skeleton,
        group: EdgeGroup,
        kept: tuple[tuple[int, ...], ...],
        supernet: bool,
        execution: Execution,
    ) -> None:
        super().__init__()
        place = Place(skeleton.channels, 1, skeleton.edge_norm(supernet))
        self.skeleton, self.supernet, self.execution = skeleton, supernet, execution
        self.stem = cifar_stem(skeleton, skeleton.channels)
        self.cell = BoringCell(group, kept, lambda _, name: CANDIDATES[name](place), 1, execution)
        self.classifier = nn.Linear(skeleton.channels, skeleton.classes)

    def forward(self, images: Tensor, architecture: Architecture | None = None) -> NetworkOutput:
        """Logits for images (B, C, H, W); a supernet takes the architecture to run."""
        architecture = on_device(architecture, images, self.supernet, self)
        x = run_cell(self.cell, self.execution, self.stem(images), architecture)
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


def shared(test: object, key: Hashable, make: Callable[[], T]) -> T:
    """What the first test of a class that asks has made. Tests must leave it as it is.

    It is kept on the class of `test` itself, so that a class which derives from another one has work of its own.
    """
    owner = type(test)
    if "_shared" not in vars(owner):
        owner._shared = {}  # type: ignore[attr-defined]
    kept: dict[Hashable, Any] = vars(owner)["_shared"]
    if key not in kept:
        kept[key] = make()
    found: T = kept[key]
    return found
