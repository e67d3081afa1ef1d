"""Budgets: costs that are reported, limits that are kept, and what genotypes cost under them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.config import Configurable, instantiate
from lightning_nas.costs.base import AdditiveCost, Cost, CostTerms
from lightning_nas.costs.counts import Macs, Parameters
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.spaces.base import SearchSpace, SupernetSpace


class Budget(Configurable):
    """Costs that are reported of networks, and limits that no result breaks; every search takes one.

    Limits are meant for the *final* network, with its cells and channels: give its skeleton. They hold for what a
    search finds; the networks that are trained while searching may be smaller or larger.

    Args:
        costs: what is reported; None: parameters and multiply-accumulates. Those that a limit needs are added, but
            latency, which has to be measured somewhere.
        skeleton: of the final network; None: that of the search.
        max_params: the most parameters.
        max_macs: the most multiply-accumulates for an image.
        max_latency_ms: the most milliseconds, of the cost `latency_ms`.

    Raises:
        ValueError: a limit that is not positive, one without its cost, or two costs of one name.

    Example:
        >>> from lightning_nas import CellSkeleton
        >>> budget = Budget(skeleton=CellSkeleton(cells=20, channels=36), max_params=3_300_000)
        >>> [cost.name for cost in budget.costs], budget.limits
        (['params', 'macs'], {'params': 3300000})
    """

    def __init__(
        self,
        costs: Sequence[Cost] | None = None,
        skeleton: Skeleton | None = None,
        max_params: float | None = None,
        max_macs: float | None = None,
        max_latency_ms: float | None = None,
    ) -> None:
        given = {"params": max_params, "macs": max_macs, "latency_ms": max_latency_ms}
        for name, limit in given.items():
            if limit is not None and not limit > 0:
                raise ValueError(f"Budget(max_{name}={limit}): give a positive number, or None for no limit.")
        self.skeleton = skeleton
        self.limits = {name: limit for name, limit in given.items() if limit is not None}
        """The most of each cost, by its name."""
        given_costs = [instantiate(cost) for cost in costs or ()]
        self.costs = self._complete(given_costs, everything=costs is None)

    def _complete(self, costs: Sequence[Cost], everything: bool) -> tuple[Cost, ...]:
        names = [cost.name for cost in costs]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"Budget(costs=...) has {names.count(name)} of the name {name!r}: give one of them.")
        if "latency_ms" in self.limits and "latency_ms" not in names:
            raise ValueError(
                f"Budget(max_latency_ms={self.limits['latency_ms']}) needs to know how latency is found: add a cost "
                "that says so, such as costs=[MeasuredLatency(...)], TableLatency or CsvLatency."
            )
        usual = {"params": Parameters, "macs": Macs}
        added = [make() for name, make in usual.items() if name not in names and (everything or name in self.limits)]
        return (*added, *costs)


class Costing:
    """Says what genotypes of a space cost, each once, and what of it breaks a limit.

    Args:
        budget: costs and limits; None: none.
        space: of the genotypes.
        skeleton: of the search, where the budget has none.
        also: costs that are reported besides; of two of one name the budget's is taken.
    """

    def __init__(
        self, budget: Budget | None, space: SearchSpace, skeleton: Skeleton, also: Sequence[Cost] = ()
    ) -> None:
        budget = budget or Budget(costs=[])
        self.space, self.skeleton = space, budget.skeleton or skeleton
        self.costs: dict[str, Cost] = {cost.name: cost for cost in (*also, *budget.costs)}
        self.limits: dict[str, float] = dict(budget.limits)
        self._figures: dict[str, dict[Genotype, float]] = {name: {} for name in self.costs}

    def under(self, skeleton: Skeleton) -> Costing:
        """The same costs and limits of networks with another skeleton."""
        found = Costing(None, self.space, skeleton, tuple(self.costs.values()))
        found.limits = dict(self.limits)
        return found

    def figures(self, genotype: Genotype) -> dict[str, float]:
        """All costs of a genotype, by name."""
        return {name: self.figure(name, genotype) for name in self.costs}

    def figure(self, name: str, genotype: Genotype) -> float:
        """One cost of a genotype; one that is no sum is computed once."""
        terms, known = self.terms.get(name), self._figures[name]
        if terms is not None and isinstance(self.space, SupernetSpace):
            return terms.total(self.space.selection(self.space.check(genotype)))
        if genotype not in known:
            known[genotype] = float(self.costs[name](self.space, genotype, self.skeleton))
        return known[genotype]

    @cached_property
    def terms(self) -> dict[str, CostTerms]:
        """The terms of each cost that is a sum in this space; a genotype's sum is found without building a network."""
        with torch.inference_mode(False):  # gradients go through them, whoever asks first
            found = {name: additive_terms(cost, self.space, self.skeleton) for name, cost in self.costs.items()}
        return {name: terms for name, terms in found.items() if terms is not None}

    def excess(self, genotype: Genotype) -> dict[str, float]:
        """By how much a genotype breaks each limit that it breaks; empty if it keeps all."""
        over = {name: self.figure(name, genotype) - limit for name, limit in self.limits.items()}
        return {name: excess for name, excess in over.items() if not excess <= 0}

    def fits(self, genotype: Genotype) -> bool:
        """Whether a genotype keeps all limits."""
        return not self.limits or not self.excess(genotype)

    def miss(self, genotype: Genotype) -> float:
        """The largest share by which a genotype is over a limit; 0 if it keeps all."""
        return max((excess / self.limits[name] for name, excess in self.excess(genotype).items()), default=0.0)

    def refusal(self, genotype: Genotype) -> str:
        """Which limits a genotype breaks and by how much; empty if it keeps all."""
        texts = [
            f"{name} {number(self.figure(name, genotype))} is {number(excess)} ({excess / self.limits[name]:.1%}) more "
            f"than max_{name}={number(self.limits[name])}"
            for name, excess in self.excess(genotype).items()
        ]
        return "; ".join(texts)

    def text(self, genotype: Genotype) -> list[str]:
        """Each cost of a genotype as a line, with its limit."""
        limits = {name: f" (at most {number(limit)})" for name, limit in self.limits.items()}
        return [f"{name}: {number(figure)}{limits.get(name, '')}" for name, figure in self.figures(genotype).items()]


def additive_terms(cost: Cost, space: SearchSpace, skeleton: Skeleton) -> CostTerms | None:
    """The terms of a cost, or None if it is no sum over the candidates of this space."""
    if not isinstance(cost, AdditiveCost) or not isinstance(space, SupernetSpace):
        return None
    try:
        return cost.terms(space, skeleton)
    except ValueError:
        return None


def number(value: float) -> str:
    """As people read it.

    Example:
        >>> number(1234567.0), number(4.56789)
        ('1,234,567', '4.568')
    """
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1e4 else f"{value:.4g}"
