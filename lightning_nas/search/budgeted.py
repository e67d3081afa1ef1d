"""What searches do with a budget: refuse limits that nothing keeps, and stay within those that something does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.cost import Costing, MeasuredLatency, NothingFitsError
from lightning_nas.cost.costing import number
from lightning_nas.cost.within import check_limits
from lightning_nas.genotype import Genotype
from lightning_nas.reward import Reward
from lightning_nas.trial import Proposal, Trial

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
