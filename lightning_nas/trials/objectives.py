"""Several objectives at once: what is better, and which trials no other beats in all of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.functional.pareto import hypervolume, non_dominated, pymoo_parts
from lightning_nas.trials.trial import Trial

Direction = Literal["max", "min"]


class Objectives:
    """Metrics that are to be large or small, such as accuracy and latency, of which none is traded for another.

    Args:
        directions: "max" or "min" by the name of the metric, at least two; the first one orders a front.
        owner: class to name in errors.

    Raises:
        ValueError: fewer than two, or another direction.

    Example:
        >>> from lightning_nas import Genotype, Proposal
        >>> def trial(number, **metrics):
        ...     proposal = Proposal(Genotype("S", (("a", str(number)),)))
        ...     return Trial(number, proposal, 0, "complete", 0.0, 1.0, metrics)
        >>> trials = [trial(0, accuracy=0.9, ms=5), trial(1, accuracy=0.8, ms=6), trial(2, accuracy=0.7, ms=2)]
        >>> [found.id for found in Objectives({"accuracy": "max", "ms": "min"}).front(trials)]
        [0, 2]
    """

    def __init__(self, directions: Mapping[str, Direction], owner: str = "Objectives") -> None:
        self.directions: dict[str, Direction] = dict(directions)
        self.owner = owner
        if len(self.directions) < 2:
            raise ValueError(
                f"{owner}(objectives={self.directions}): give at least two, such as val/accuracy: max, params: min."
            )
        for name, direction in self.directions.items():
            if direction not in get_args(Direction):
                raise ValueError(f"{owner}(objectives={{{name!r}: {direction!r}}}): give 'max' or 'min'.")

    def point(self, metrics: Mapping[str, float]) -> tuple[float, ...]:
        """The objectives among some metrics, with signs such that lower is better.

        Raises:
            MisconfigurationException: a metric is missing.
        """
        for name in self.directions:
            if name not in metrics:
                raise MisconfigurationException(
                    f"{self.owner}(objectives=...): there is no metric {name!r}; networks have "
                    f"{', '.join(metrics) or 'none'}. Name one of these, or give the budget its cost."
                )
        signs = {"max": -1.0, "min": 1.0}
        return tuple(signs[direction] * metrics[name] for name, direction in self.directions.items())

    def point_of(self, trial: Trial) -> tuple[float, ...] | None:
        """The objectives of a trial; None if it is not complete, or one of them is no finite number.

        Raises:
            MisconfigurationException: a complete trial lacks a metric.
        """
        if trial.status != "complete":
            return None
        point = self.point(trial.metrics)
        return point if all(map(math.isfinite, point)) else None

    def front(self, trials: Iterable[Trial]) -> list[Trial]:
        """The trials that no other dominates, by the first objective, the best first; the earliest of equal ones.

        Metrics at different fidelities do not compare: only trials at the highest one are looked at.
        """
        known = sorted(trials, key=lambda trial: trial.id)
        found = [(trial, point) for trial in known if (point := self.point_of(trial)) is not None]
        highest = max((trial.proposal.fidelity.rank for trial, _ in found), default=None)
        found = [(trial, point) for trial, point in found if trial.proposal.fidelity.rank == highest]
        members = [found[index] for index in non_dominated([point for _, point in found])]
        return [trial for trial, _ in sorted(members, key=lambda member: member[1])]

    def reference(self, metrics: Mapping[str, float]) -> dict[str, float]:
        """A point that is worse than some metrics: 0 for what is to be large, twice the value for what is to be small.

        A negative metric that is to be large is doubled, one that is to be small becomes 0.
        """
        bounds = {"max": min, "min": max}
        return {name: bounds[direction](0.0, 2.0 * metrics[name]) for name, direction in self.directions.items()}

    def hypervolume(self, trials: Iterable[Trial], reference: Mapping[str, float]) -> float:
        """What the trials dominate of the space before a reference point.

        Args:
            trials: such as a front.
            reference: a value for each objective; whoever is not better in all of them adds nothing.
        """
        points = [point for trial in trials if (point := self.point_of(trial)) is not None]
        return hypervolume(points, self.point(reference))


def check_pymoo(owner: str) -> None:
    """Refuse what needs pymoo where it is not installed.

    Raises:
        MisconfigurationException: says how to install it.
    """
    try:
        pymoo_parts(owner)
    except ModuleNotFoundError as error:
        raise MisconfigurationException(str(error)) from error
