"""What the networks of a front cost, where the search does not say so itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lightning.pytorch import Trainer

from lightning_nas.cost import Cost, Costing
from lightning_nas.search import SearchModule
from lightning_nas.skeleton import Skeleton
from lightning_nas.trial import Trial


class FrontCosts:
    """The costs of a search's budget and some besides, all for one skeleton.

    Args:
        search: whose networks are looked at.
        costs: what is computed besides; of two of one name the search's is taken.
        skeleton: of the final network; None: what the search counts with.

    Raises:
        ValueError: a cost does not know the space or the skeleton, or the search counts with another skeleton.
    """

    def __init__(self, search: SearchModule, costs: Sequence[Cost], skeleton: Skeleton | None) -> None:
        counted = search.costing
        if skeleton is not None and counted.costs and skeleton != counted.skeleton:
            raise ValueError(
                f"ParetoFront(skeleton={skeleton}): the search's budget counts with {counted.skeleton}. Give the "
                "skeleton to the budget, Budget(skeleton=...), and leave it out here."
            )
        every = [*costs, *counted.costs.values()]
        self.costing = Costing(None, search.space, skeleton or counted.skeleton, also=every)
        for cost in costs:
            cost.check(search.space, self.costing.skeleton)

    @property
    def names(self) -> list[str]:
        """Of all costs."""
        return list(self.costing.costs)

    def priced(self, trainer: Trainer, trials: Sequence[Trial]) -> list[Trial]:
        """The trials with all costs among their metrics; what is measured is rank zero's on every rank."""
        lacking = {t.genotype for t in trials if t.status == "complete" and not set(self.names) <= set(t.metrics)}
        if not lacking:
            return list(trials)
        figures = {g: self.costing.figures(g) for g in lacking} if trainer.is_global_zero else {}
        figures = trainer.strategy.broadcast(figures)
        return [replace(t, metrics={**figures.get(t.genotype, {}), **t.metrics}) for t in trials]
