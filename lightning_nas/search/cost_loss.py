"""The expected cost as a part of a differentiable search: its term of the loss, and its checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from lightning_nas.cost import Costing, Expectation, ExpectedCost
from lightning_nas.cost.costing import number
from lightning_nas.cost.within import extremes
from lightning_nas.genotype import Genotype
from lightning_nas.space import SupernetSpace


class CostLoss:
    """The term that an `ExpectedCost` adds to the loss of the architecture.

    Args:
        settings: cost, target and form.
        costing: of the search, which knows the cost.
        extract: gives the genotype that would be extracted now, whatever it costs.
    """

    def __init__(self, settings: ExpectedCost, costing: Costing, extract: Callable[[], Genotype]) -> None:
        self.settings, self.costing, self.extract = settings, costing, extract
        self.name = settings.cost.name

    @cached_property
    def expectation(self) -> Expectation:
        """The expected cost, differentiable in the probabilities."""
        assert isinstance(self.costing.space, SupernetSpace)
        return Expectation(self.costing.space, self.costing.terms[self.name])

    def __call__(self, distributions: Mapping[str, Tensor]) -> Tensor:
        """The term, a scalar.

        Args:
            distributions: probabilities with gradient, (edges, candidates) for each group.
        """
        expected, target = self.expectation(distributions), self.settings.target
        extracted = None
        if self.settings.straight_through:
            extracted = self.costing.figure(self.name, self.extract()) / target
        return self.settings.penalty(expected / target, extracted)

    def check(self) -> None:
        """Refuse a cost that is no sum in this space, one that the budget has otherwise, and a target out of reach.

        Raises:
            MisconfigurationException: names the target and what the space's networks have.
        """
        cost, space = type(self.settings.cost).__name__, type(self.costing.space).__name__
        if self.name not in self.costing.terms:
            raise MisconfigurationException(
                f"ExpectedCost(cost={cost}) is no sum over the candidates of {space}: give another cost."
            )
        budgets = self.costing.costs[self.name]
        if budgets.config() != self.settings.cost.config():
            raise MisconfigurationException(
                f"The budget's cost {self.name!r} differs from that of ExpectedCost(cost={cost}(...)): give both the "
                "same settings, as in Budget(costs=[...]), which replaces the usual ones."
            )
        least, most = extremes(self.costing, self.name)
        if not least <= self.settings.target <= most:
            raise MisconfigurationException(
                f"ExpectedCost(target={number(self.settings.target)}): networks of {space} have {self.name} from "
                f"{number(least)} to {number(most)} with {self.costing.skeleton}: give a target between, or another "
                "skeleton of the final network, Budget(skeleton=...)."
            )
