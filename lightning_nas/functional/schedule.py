"""Values that hold from some position on: an epoch of a fit, a trial of a search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

V = TypeVar("V")


def value_at(schedule: Mapping[int, V], position: int) -> V | None:
    """The value that holds at a position; None before the first.

    Args:
        schedule: values by the position from which on they hold.
        position: epoch or trial.

    Example:
        >>> [value_at({2: "low", 5: "high"}, position) for position in (1, 2, 4, 5)]
        [None, 'low', 'low', 'high']
    """
    started = [first for first in schedule if first <= position]
    return schedule[max(started)] if started else None
