"""Choices that are drawn on a device, and read by the host together."""

from __future__ import annotations

import torch
from torch import Tensor

from lightning_nas.anchors import Anchors
from lightning_nas.genotype import Decision


class Drawn:
    """The choices of one genotype, which stay on the device until they are asked for.

    Example:
        >>> drawn = Drawn()
        >>> drawn.add(Decision("op", ("skip", "conv")), torch.tensor([1]))
        >>> drawn.add(Anchors.over("anchors", ("a", "b")), torch.tensor([[True, False]]))
        >>> drawn.choices()
        {'op': 'conv', 'anchors': '10'}
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._waiting: list[tuple[Decision, Tensor]] = []

    def add(self, decision: Decision, chosen: Tensor) -> None:
        """Keep an index (1,), or for anchors bits (1, L)."""
        self._waiting.append((decision, chosen))

    def choices(self) -> dict[str, str]:
        """Option by decision; all that is not known yet comes in one copy."""
        if self._waiting:
            numbers = iter(torch.cat([chosen.reshape(-1).long() for _, chosen in self._waiting]).tolist())
            for decision, chosen in self._waiting:
                found = [next(numbers) for _ in range(chosen.numel())]
                anchors = isinstance(decision, Anchors)
                self._known[decision.name] = "".join(map(str, found)) if anchors else decision.options[found[0]]
            self._waiting = []
        return self._known
