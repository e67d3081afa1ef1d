"""`Budget`: what networks may cost, and what is reported of each."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nas.config import Configurable, instantiate
from lightning_nas.cost.base import Cost
from lightning_nas.cost.macs import Macs
from lightning_nas.cost.parameters import Parameters
from lightning_nas.skeleton import Skeleton


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
