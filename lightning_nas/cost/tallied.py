"""Costs that every part of a network has a share of."""

from __future__ import annotations

from abc import abstractmethod

from torch import nn

from lightning_nas.cost.attribution import Tally, attributed
from lightning_nas.cost.base import AdditiveCost
from lightning_nas.cost.built import BuiltCost
from lightning_nas.cost.network import every_candidate, supernet_on_meta
from lightning_nas.cost.terms import CostTerms
from lightning_nas.edge import Architecture
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace, SupernetSpace


class TalliedCost(BuiltCost, AdditiveCost):
    """A cost that is counted part by part, without numbers; it is exact, and so are its terms."""

    def __init__(self) -> None:
        super().__init__()
        self._terms: dict[tuple[SearchSpace, Skeleton], CostTerms] = {}

    @abstractmethod
    def tally(self, network: nn.Module, skeleton: Skeleton, architecture: Architecture | None) -> Tally:
        """The cost by the names of the network's parts.

        Args:
            network: on the meta device, in eval mode.
            skeleton: under which it was built.
            architecture: of a supernet; None in a child.
        """

    def of(self, network: nn.Module, skeleton: Skeleton) -> float:
        return float(sum(self.tally(network, skeleton, None).values()))

    def terms(self, space: SupernetSpace, skeleton: Skeleton) -> CostTerms:
        key = (space, skeleton)
        if key not in self._terms:
            self.check(space, skeleton)
            counted = self.counted(skeleton)
            supernet = supernet_on_meta(space, counted)
            tally = self.tally(supernet, counted, every_candidate(space))
            self._terms[key] = attributed(space, supernet, tally)
        return self._terms[key]
