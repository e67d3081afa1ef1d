"""Sizes around the layers of ENAS's macro space (Pham et al. 2018)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lightning_nas.norm import Norm
from lightning_nas.skeleton import Skeleton


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
