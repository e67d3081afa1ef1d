"""Budget handling: validate limits, sample feasible genotypes, and pull an architecture to a cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property

from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs import Costing, Expectation, ExpectedCost, MeasuredLatency, NothingFitsError
from lightning_nas.costs.budget import number
from lightning_nas.costs.limits import check_limits, extremes
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.trials.reward import Reward
from lightning_nas.trials.trial import Proposal, Trial

TRIES = 100
"""So often a sampler is asked again for what keeps the limits."""
Ask = Callable[[int], list[Proposal]]
"""Asks a sampler, for the number of the attempt."""


def check_budget(owner: str, costing: Costing, additive: bool = False, ranks: int = 1) -> None:
    """Refuse, before the search starts, costs that do not know the space, and limits that nothing keeps.

    Args:
        owner: name of the search's class.
        costing: of the search.
        additive: whether the search can keep limits only on costs that are sums over the candidates.
        ranks: how many judge the same genotypes, each by itself.

    Raises:
        MisconfigurationException: names the limit, its value and the remedy.
    """
    try:
        for each in costing.costs.values():
            each.check(costing.space, costing.skeleton)
        check_limits(costing)
    except ValueError as error:
        raise MisconfigurationException(str(error)) from error
    measured = [name for name in costing.limits if isinstance(costing.costs[name], MeasuredLatency)]
    if measured and ranks > 1:
        raise MisconfigurationException(
            f"Budget(max_{measured[0]}={number(costing.limits[measured[0]])}) with MeasuredLatency and {ranks} ranks: "
            f"each would measure something else, and {owner} needs ranks that draw the same paths: use one device, or "
            "TableLatency."
        )
    foreign = [name for name in costing.limits if name not in costing.terms]
    if additive and foreign:
        cost, space = type(costing.costs[foreign[0]]).__name__, type(costing.space).__name__
        raise MisconfigurationException(
            f"Budget(max_{foreign[0]}={number(costing.limits[foreign[0]])}): {owner} keeps limits on costs that are "
            f"sums over the candidates, and {cost} in {space} is none: give another cost, such as TableLatency for "
            "latency, or search with a method that samples networks, such as EvolutionSearch or EnasSearch."
        )


def check_reward(reward: Reward, costing: Costing) -> None:
    """Refuse a reward that is made of costs which nobody computes.

    Raises:
        MisconfigurationException: names the cost and the remedy.
    """
    missing = [name for name in reward.needs if name not in costing.costs]
    if missing:
        raise MisconfigurationException(
            f"{type(reward).__name__} needs the cost {missing[0]!r}, and the search computes "
            f"{', '.join(costing.costs) or 'none'}: give the search budget=Budget(costs=[...]) with it."
        )


def fitting(ask: Ask, costing: Costing, count: int) -> list[Proposal]:
    """Proposals of a sampler that keep all limits, as many as asked for if enough are found in `TRIES` attempts."""
    found: list[Proposal] = []
    for attempt in range(TRIES):
        found += [proposal for proposal in ask(attempt) if costing.fits(proposal.genotype)]
        if len(found) >= count:
            break
    return found[:count]


def nearest(ask: Ask, costing: Costing) -> Proposal:
    """The first proposal of a sampler that keeps all limits, or of `TRIES` the one that misses them least."""
    best, least = None, float("inf")
    for attempt in range(TRIES):
        for proposal in ask(attempt):
            if (miss := costing.miss(proposal.genotype)) < least:
                best, least = proposal, miss
        if least == 0.0:
            break
    assert best is not None
    return best


def nothing_fits(costing: Costing, genotypes: Iterable[Genotype]) -> NothingFitsError:
    """The error at the end of a search in which nothing kept the limits.

    Args:
        costing: of the search.
        genotypes: what it has seen.
    """
    closest = min(genotypes, key=costing.miss, default=None)
    seen = f": of the nearest one, {costing.refusal(closest)}" if closest is not None else ""
    return NothingFitsError(
        f"No genotype that was found keeps the limits{seen}. Raise the limits, give a smaller skeleton of the final "
        "network, Budget(skeleton=...), or search longer."
    )


def contradiction(costing: Costing, trial: Trial) -> str:
    """How a trial of an earlier run does not go with the limits of this one; empty if it does."""
    if trial.status == "failed":
        return ""
    unknown = [name for name in costing.limits if name not in trial.metrics]
    over = [name for name, limit in costing.limits.items() if trial.metrics.get(name, 0.0) > limit]
    if unknown:
        return f"of which no {unknown[0]} is known"
    if bool(over) == (trial.status == "refused"):
        return ""
    return f"which is over max_{over[0]} and was evaluated" if over else "which keeps all limits and was refused"


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
