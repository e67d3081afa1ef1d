"""Costs that need the network itself."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace

import torch
from torch import nn

from lightning_nas.cost.base import Cost
from lightning_nas.cost.network import deployed
from lightning_nas.genotype import Genotype
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace


class BuiltCost(Cost):
    """A cost that is taken of the network as it is used: built, in eval mode, without its auxiliary head.

    A network is built once, on the meta device if nothing else is said, and its cost is kept.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[SearchSpace, Genotype, Skeleton], float] = {}

    def counted(self, skeleton: Skeleton) -> Skeleton:
        """The skeleton of the network that is counted."""
        return deployed(skeleton)

    def build(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> nn.Module:
        """The network, in eval mode."""
        with torch.device("meta"):
            return space.build(genotype, replace(skeleton, checkpoint_cells=False)).eval()

    @abstractmethod
    def of(self, network: nn.Module, skeleton: Skeleton) -> float:
        """The cost of a network that `build` made under a skeleton."""

    def __call__(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> float:
        key = (space, genotype, skeleton)
        if key not in self._known:
            self.check(space, skeleton)
            counted = self.counted(skeleton)
            self._known[key] = self.of(self.build(space, genotype, counted), counted)
        return self._known[key]
