"""Weights that a network takes over from others: what is copied, where it is kept, and the callback that does it."""

from lightning_nas.inheritance.callback import WeightInheritance
from lightning_nas.inheritance.recalibration import recalibrate
from lightning_nas.inheritance.store import WeightStore
from lightning_nas.inheritance.transfer import InheritanceReport, Source, inherit

__all__ = ["InheritanceReport", "Source", "WeightInheritance", "WeightStore", "inherit", "recalibrate"]
