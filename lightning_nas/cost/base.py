"""The interface of costs: what a network takes besides its accuracy."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lightning_nas.config import Configurable
from lightning_nas.cost.terms import CostTerms
from lightning_nas.genotype import Genotype
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace, SupernetSpace


class Cost(Configurable, ABC):
    """A number for a network, lower is better.

    It is asked for a genotype under a skeleton, that of the final network, and builds what it needs itself.
    """

    name: str
    """The metric under which it stands in trials, files and plots, with its unit: `params`, `macs`, `latency_ms`."""

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:
        """Refuse, before a search starts, a space or a skeleton that the cost does not know.

        Raises:
            ValueError: names what is missing and the remedy.
        """

    @abstractmethod
    def __call__(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> float:
        """The cost of one network."""


class AdditiveCost(Cost):
    """A cost that is a sum over the candidates of a network, so that a relaxed architecture has an expected one."""

    @abstractmethod
    def terms(self, space: SupernetSpace, skeleton: Skeleton) -> CostTerms:
        """The sum's terms, for children under this skeleton."""
