"""Parameters: the size of a network."""

from __future__ import annotations

from torch import nn

from lightning_nas.cost.attribution import Tally
from lightning_nas.cost.tallied import TalliedCost
from lightning_nas.edge import Architecture
from lightning_nas.skeleton import Skeleton


class Parameters(TalliedCost):
    """Trainable parameters of a network.

    Args:
        auxiliary: count the auxiliary head too, if the skeleton has one. It is there for training only, and the
            papers' sizes are without it.

    Example:
        >>> from lightning_nas import CellSkeleton
        >>> from lightning_nas.spaces import published
        >>> space, genotype = published("DARTS_V2")
        >>> Parameters()(space, genotype, CellSkeleton(cells=20, channels=36, auxiliary=True))
        3349342.0
    """

    name = "params"

    def __init__(self, auxiliary: bool = False) -> None:
        super().__init__()
        self.auxiliary = auxiliary

    def counted(self, skeleton: Skeleton) -> Skeleton:
        return skeleton if self.auxiliary else super().counted(skeleton)

    def tally(self, network: nn.Module, skeleton: Skeleton, architecture: Architecture | None) -> Tally:  # noqa: ARG002
        return {name: float(weight.numel()) for name, weight in network.named_parameters() if weight.requires_grad}
