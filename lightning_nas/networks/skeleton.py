"""Skeletons: the sizes around the cells (the macro-architecture)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, NamedTuple

from torch import Tensor
from typing_extensions import Self

from lightning_nas.config import Configurable
from lightning_nas.execution.norm import Norm


class NetworkOutput(NamedTuple):
    """What every network gives: logits (B, classes), and those of the auxiliary head in training if there is one."""

    logits: Tensor
    auxiliary: Tensor | None = None


@dataclass(frozen=True)
class Skeleton(Configurable, ABC):
    """Sizes around what is searched.

    Args:
        channels: width of the first cells.
        classes: number of classes.
        in_channels: channels of the images, 3 for colour and 1 for grey.
        norm: norms of edges and preprocessing; None is what the papers have: no scale and shift in a supernet, both
            in a child.
    """

    channels: int = 16
    classes: int = 10
    in_channels: int = 3
    norm: Norm | None = None

    def __post_init__(self) -> None:
        for name, least in (("channels", 1), ("classes", 2), ("in_channels", 1)):
            self._at_least(name, least)

    def _at_least(self, name: str, least: int) -> None:
        if getattr(self, name) < least:
            raise ValueError(
                f"{type(self).__name__}({name}={getattr(self, name)}): give an integer of at least {least}."
            )

    @property
    @abstractmethod
    def minimum_size(self) -> int:
        """Least height and width, in pixels, of the images that the network can take."""

    _cells_field: ClassVar[str | None] = None
    """Name of the field that says how many cells there are; None: the skeleton has none."""

    def resized(self, channels: int | None = None, cells: int | None = None) -> Self:
        """The skeleton with other sizes; None leaves a size as it is.

        Args:
            channels: width of the first cells.
            cells: cells in all, or of each stage.

        Raises:
            ValueError: a skeleton without cells.

        Example:
            >>> CellSkeleton(cells=8, channels=16).resized(channels=8, cells=5).cells
            5
        """
        sizes = {} if channels is None else {"channels": channels}
        if cells is not None:
            if self._cells_field is None:
                raise ValueError(f"cells={cells}: a {type(self).__name__} has no cells to count; leave them out.")
            sizes[self._cells_field] = cells
        return replace(self, **sizes)  # type: ignore[arg-type]

    def edge_norm(self, supernet: bool) -> Norm:
        """The norm of edges and preprocessing."""
        return self.norm or Norm(affine=not supernet)

    def outer_norm(self) -> Norm:
        """The norm of stem, reduction blocks and head."""
        return replace(self.norm, affine=True) if self.norm else Norm()

    def synchronized_norm(self, supernet: bool) -> str:
        """How to get the same norms with the statistics of all devices' batches, as a sentence."""
        norm = replace(self.edge_norm(supernet), sync=True)
        return f"Norms that share their statistics among devices are built by {type(self).__name__}(norm={norm})."


@dataclass(frozen=True)
class CellSkeleton(Skeleton):
    """A stack of normal cells with two reduction cells, at 1/3 and 2/3 of the depth (Zoph et al. 2018).

    Args:
        cells: how many cells are stacked: 8 in a search, 20 in a final network for CIFAR-10.
        stem: "cifar": one 3x3 convolution at full resolution. "imagenet": three of stride 2, for images over 64 pixels.
        stem_multiplier: width of the CIFAR stem in multiples of `channels`.
        auxiliary: second classifier at 2/3 of the depth, used in training only.
        pool_norm: an affine-free norm behind pools; None is what the authors have: in the supernet only.

    Example:
        >>> CellSkeleton(cells=20, channels=36, auxiliary=True).reductions
        (6, 13)
    """

    _cells_field: ClassVar[str | None] = "cells"

    cells: int = 8
    stem: Literal["cifar", "imagenet"] = "cifar"
    stem_multiplier: int = 3
    auxiliary: bool = False
    pool_norm: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least("cells", 1)
        self._at_least("stem_multiplier", 1)
        if self.stem not in ("cifar", "imagenet"):
            raise ValueError(f"CellSkeleton(stem={self.stem!r}): give 'cifar' or 'imagenet'.")
        if self.stem == "imagenet" and self.channels < 2:
            raise ValueError(f"CellSkeleton(channels={self.channels}): the ImageNet stem needs at least 2 channels.")

    @property
    def reductions(self) -> tuple[int, ...]:
        """Indices of the reduction cells; a network of one cell has one."""
        return tuple(sorted({self.cells // 3, 2 * self.cells // 3}))

    @property
    def minimum_size(self) -> int:
        total = 2 ** len(self.reductions) * (8 if self.stem == "imagenet" else 1)
        if not self.auxiliary:
            return total
        # Strides round up, so one pixel more than (least feature size - 1) * stride is enough.
        return ((7 if self.stem == "imagenet" else 8) - 1) * total + 1

    def with_pool_norm(self, supernet: bool) -> bool:
        """Whether a norm stands behind pools."""
        return supernet if self.pool_norm is None else self.pool_norm


@dataclass(frozen=True)
class StagedSkeleton(Skeleton):
    """Three stages of cells with residual reduction blocks between them (Dong & Yang 2020, NAS-Bench-201).

    Args:
        cells_per_stage: N in the paper, 5 in the benchmark.
    """

    _cells_field: ClassVar[str | None] = "cells_per_stage"

    cells_per_stage: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least("cells_per_stage", 1)

    @property
    def minimum_size(self) -> int:
        return 4


@dataclass(frozen=True)
class MacroSkeleton(Skeleton):
    """A stem, layers with two reductions of all stored outputs between them, and a classifier.

    The number of layers belongs to the space, whose decisions depend on it. The authors search with the defaults and
    `dropout=0.1`, and train the final network with 96 channels, `merge="concatenate"`, `growth=2` and `dropout=0.5`.
    Their norms have scale and shift in the supernet too.

    Args:
        merge: how a layer takes what skips bring: "add", or "concatenate" with a 1x1 convolution behind.
        growth: factor of the channels at each reduction.
        dropout: probability before the classifier.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> MacroSkeleton().channels, MacroSkeleton(merge="concatenate", growth=2).resized(channels=96).growth
        (36, 2)
    """

    channels: int = 36
    merge: Literal["add", "concatenate"] = "add"
    growth: int = 1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least("channels", 2)  # a reduction has two halves
        self._at_least("growth", 1)
        if self.merge not in ("add", "concatenate"):
            raise ValueError(f"MacroSkeleton(merge={self.merge!r}): give 'add' or 'concatenate'.")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"MacroSkeleton(dropout={self.dropout}): give a number in [0, 1).")

    @property
    def minimum_size(self) -> int:
        return 4

    def edge_norm(self, supernet: bool) -> Norm:  # noqa: ARG002 - the authors' norms are alike in both
        """The norm of branches, skips and reductions."""
        return self.norm or Norm()


@dataclass(frozen=True)
class ChainSkeleton(Skeleton):
    """Sizes around a chain of convolutions.

    `channels` is the width of a layer with the most filters that can be chosen; the others are scaled alike. With the
    64 filters of the paper and 64 channels, the numbers of filters are the published ones.

    Example:
        >>> ChainSkeleton().channels, ChainSkeleton().minimum_size
        (64, 1)
    """

    channels: int = 64

    @property
    def minimum_size(self) -> int:
        return 1  # padding keeps the size, and strides round up
