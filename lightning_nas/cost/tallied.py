"""Costs that every part of a network has a share of."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from lightning_nas.cost.attribution import Tally, attributed
from lightning_nas.cost.base import AdditiveCost
from lightning_nas.cost.network import child_on_meta, supernet_on_meta
from lightning_nas.cost.terms import CostTerms
from lightning_nas.genotype import Genotype
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace, SupernetSpace


class TalliedCost(AdditiveCost):
    """A cost that is counted on a network without running it with numbers; exact, and so are its terms.

    Networks are built on the meta device, and what was counted is kept.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[SearchSpace, Genotype, Skeleton], float] = {}
        self._terms: dict[tuple[SupernetSpace, Skeleton], CostTerms] = {}

    @abstractmethod
    def tally(self, network: nn.Module, skeleton: Skeleton, space: SupernetSpace | None = None) -> Tally:
        """The cost by the names of the network's parts.

        Args:
            network: on the meta device, in eval mode.
            skeleton: under which it was built.
            space: of a supernet; None: the network is a child.
        """

    def counted(self, skeleton: Skeleton) -> Skeleton:
        """The skeleton of the network that is counted."""
        return skeleton

    def __call__(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> float:
        key = (space, genotype, skeleton)
        if key not in self._known:
            counted = self.counted(skeleton)
            tally = self.tally(child_on_meta(space, genotype, counted), counted)
            self._known[key] = float(sum(tally.values()))
        return self._known[key]

    def terms(self, space: SupernetSpace, skeleton: Skeleton) -> CostTerms:
        key = (space, skeleton)
        if key not in self._terms:
            counted = self.counted(skeleton)
            supernet = supernet_on_meta(space, counted)
            self._terms[key] = attributed(space, supernet, self.tally(supernet, counted, space))
        return self._terms[key]
