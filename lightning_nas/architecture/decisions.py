"""Decisions: named categorical choices, and sets of earlier layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import torch


@dataclass(frozen=True)
class Condition:
    """A decision counts only if an earlier one took one of some options (a layer exists only at sufficient depth)."""

    decision: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Decision:
    """One named categorical choice.

    Args:
        name: unique in its space, dotted from coarse to fine: `normal.2.op0`.
        options: what can be chosen, at least one; a sequence that is computed where there are very many.
        condition: when the decision counts; None means always.
    """

    name: str
    options: Sequence[str]
    condition: Condition | None = None

    def active(self, prefix: Mapping[str, str]) -> bool:
        """Whether the decision counts, given the choices made before it."""
        return self.condition is None or prefix.get(self.condition.decision) in self.condition.options

    def sample(self, generator: torch.Generator) -> str:
        """An option drawn uniformly."""
        return self.options[int(torch.randint(len(self.options), (), generator=generator))]

    def another(self, option: str, generator: torch.Generator) -> str:
        """An option drawn uniformly from those that differ from `option`."""
        drawn = self.options[int(torch.randint(len(self.options) - 1, (), generator=generator))]
        return drawn if drawn != option else self.options[-1]


@dataclass(frozen=True)
class BitStrings(Sequence[str]):
    """All strings of `length` bits in counting order, computed when asked for: 24 layers have 2^23 of them.

    Example:
        >>> bits = BitStrings(2)
        >>> list(bits), "01" in bits, "011" in bits
        (['00', '01', '10', '11'], True, False)
    """

    length: int

    def __len__(self) -> int:
        return 1 << self.length

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return f"{index % len(self):0{self.length}b}"

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and len(value) == self.length and set(value) <= {"0", "1"}

    def index(self, value: str, start: int = 0, stop: int | None = None) -> int:  # noqa: ARG002 - as in Sequence
        """Position of a string of bits."""
        if value not in self:
            raise ValueError(f"{value!r} is no string of {self.length} bits.")
        return int(value, 2)


@dataclass(frozen=True)
class Anchors(Decision):
    """Which of the earlier layers a layer reads: "0110" reads the second and the third.

    Source: the skip connections of Zoph & Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017.

    Args:
        name: unique in its space.
        options: strings of bits, one bit for each of `earlier`; made by `over`.
        condition: when the decision counts.
        earlier: for each earlier layer the decision that stands for it, the last one that describes it. A controller
            attends to its hidden states after these.

    Example:
        >>> anchors = Anchors.over("layer.2.anchors", ("layer.0.op", "layer.1.op"))
        >>> anchors.options[2], anchors.chosen("10")
        ('10', (0,))
    """

    earlier: tuple[str, ...] = field(default=(), kw_only=True)

    @classmethod
    def over(cls, name: str, earlier: tuple[str, ...], condition: Condition | None = None) -> Anchors:
        """The decision over all subsets of the earlier layers."""
        return cls(name, BitStrings(len(earlier)), condition, earlier=earlier)

    @staticmethod
    def chosen(option: str) -> tuple[int, ...]:
        """Positions of the layers that are read."""
        return tuple(position for position, bit in enumerate(option) if bit == "1")

    def another(self, option: str, generator: torch.Generator) -> str:
        """The option with one bit turned over: a neighbour, which a uniformly drawn subset is not."""
        flipped = int(torch.randint(len(option), (), generator=generator))
        return option[:flipped] + ("0" if option[flipped] == "1" else "1") + option[flipped + 1 :]
