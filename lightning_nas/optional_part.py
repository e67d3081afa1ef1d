"""What children have besides their candidates only sometimes, such as weights for a state that is a loose end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Places = Mapping[str, tuple[tuple[int, int], ...]]
"""Candidates by group: (row, column) of the tables of architecture parameters."""


@dataclass(frozen=True)
class OptionalPart:
    """A part of a supernet, outside its edges, that a child has if it has any of some candidates, or none of them.

    Args:
        name: of the module or the parameter in the supernet; of a parameter it means what is computed with it too.
        places: the candidates that it depends on.
        needed: whether a child has it with "any" or with "none" of them.
        share: which part of what bears the name it is, where one name stands for several.
    """

    name: str
    places: Places
    needed: Literal["any", "none"] = "any"
    share: float = 1.0
