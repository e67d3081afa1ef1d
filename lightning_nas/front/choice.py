"""Choosing a network of a front: the best one that keeps some conditions."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from lightning_nas.callbacks.front_file import Front, Member
from lightning_nas.cost.costing import number

_CONDITION = re.compile(r"\s*(?P<metric>[^<>=]+?)\s*(?P<operator><=|>=|<|>)\s*(?P<bound>[^<>=]+?)\s*")


@dataclass(frozen=True)
class Condition:
    """A bound of a metric.

    Args:
        metric: its name.
        operator: one of < <= > >=.
        bound: a number.

    Example:
        >>> condition = Condition.parse("latency_ms<5")
        >>> condition.holds(4.9), condition.miss(5.5)
        (True, 0.5)
    """

    metric: str
    operator: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition in a text.

        Raises:
            ValueError: it is none.
        """
        found = _CONDITION.fullmatch(text)
        try:
            if found is None or math.isnan(bound := float(found["bound"])):
                raise ValueError
            return cls(found["metric"], found["operator"], bound)
        except ValueError:
            raise ValueError(
                f"--pick {text!r} is no condition: give a metric, one of < <= > >=, and a number, as in 'latency_ms<5'."
            ) from None

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return self.miss(value) < 0 or (self.miss(value) == 0 and self.operator.endswith("="))

    def miss(self, value: float) -> float:
        """By how much a value lies beyond the bound; negative on the right side."""
        return value - self.bound if self.operator.startswith("<") else self.bound - value

    def share(self, value: float) -> float:
        """The miss as a share of the bound, by which misses of several metrics compare; 0 if the bound is kept."""
        return 0.0 if self.holds(value) else self.miss(value) / (abs(self.bound) or 1.0)

    def complaint(self, value: float) -> str:
        """How a value breaks the bound."""
        side = "much" if self.operator.startswith("<") else "little"
        excess = f", {number(self.miss(value))} too {side}" if self.miss(value) else ", just the bound"
        return f"{self.metric} {number(value)}{excess}"


def pick(front: Front, conditions: Sequence[Condition], best: str | None = None) -> Member:
    """The best member of a front among those that keep all conditions.

    Args:
        front: where to choose.
        conditions: on any metrics of its members.
        best: the objective by which it is the best; None is the first one.

    Raises:
        ValueError: no such metric, or no member keeps the conditions; says by how much the nearest one misses.
    """
    best = best or next(iter(front.objectives))
    if best not in front.objectives:
        raise ValueError(f"--best {best!r} is no objective of this front: give one of {', '.join(front.objectives)}.")
    for condition in conditions:
        lacking = [member for member in front.members if condition.metric not in member.metrics]
        if lacking:
            known = ", ".join(lacking[0].metrics)
            raise ValueError(f"--pick: networks of this front have no {condition.metric!r}: they have {known}.")
    kept = [member for member in front.members if all(c.holds(member.metrics[c.metric]) for c in conditions)]
    if not kept:
        raise ValueError(_nothing_fits(front, conditions))
    sign = -1.0 if front.objectives[best] == "max" else 1.0
    return min(kept, key=lambda member: sign * member.metrics[best])


def _nothing_fits(front: Front, conditions: Sequence[Condition]) -> str:
    if not front.members:
        return "The front is empty."
    nearest = min(front.members, key=lambda member: max(c.share(member.metrics[c.metric]) for c in conditions))
    broken = [c for c in conditions if not c.holds(nearest.metrics[c.metric])]
    wanted = ", ".join(f"{c.metric}{c.operator}{number(c.bound)}" for c in conditions)
    missed = "; ".join(c.complaint(nearest.metrics[c.metric]) for c in broken)
    return f"No network of the front has {wanted}: the nearest one, trial {nearest.trial}, has {missed}."
