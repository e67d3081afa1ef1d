"""Fronts: their files, their records, and the choice of one network."""

from lightning_nas.pareto.front import Condition, Front, Member, pick

__all__ = [
    "Condition",
    "Front",
    "Member",
    "pick",
]
