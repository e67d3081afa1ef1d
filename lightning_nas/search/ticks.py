"""The loader of a search whose batches are trials."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


class Ticks:
    """A loader of as many empty batches as every rank evaluates trials in an epoch, each of them its number.

    It is no `DataLoader`, so that Lightning does not share it out between ranks: every rank has all ticks. It goes on
    where a checkpoint was written.

    Args:
        count: of an epoch.

    Example:
        >>> list(Ticks(3))
        [0, 1, 2]
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._start = self._position = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        begin, self._start = self._start, 0
        for tick in range(begin, self.count):
            self._position = tick + 1
            yield tick

    def state_dict(self) -> dict[str, Any]:
        """How far it is."""
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on there."""
        self._start = self._position = state["position"] % self.count
