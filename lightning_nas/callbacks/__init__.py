"""Callbacks that extract, stack, schedule and watch; they know the families of searches, never a method or a space."""

from lightning_nas.callbacks.extraction import ExtractGenotype
from lightning_nas.callbacks.monitor import ArchitectureMonitor
from lightning_nas.callbacks.pareto import ParetoFront
from lightning_nas.callbacks.predictions import WritePredictions
from lightning_nas.callbacks.schedules import DropPathSchedule, TemperatureSchedule
from lightning_nas.callbacks.stacking import StackCells
from lightning_nas.callbacks.trials import TrialMonitor
from lightning_nas.inheritance import WeightInheritance
from lightning_nas.reduced_fidelity import ReducedFidelity

__all__ = [
    "ArchitectureMonitor",
    "DropPathSchedule",
    "ExtractGenotype",
    "ParetoFront",
    "ReducedFidelity",
    "StackCells",
    "TemperatureSchedule",
    "TrialMonitor",
    "WeightInheritance",
    "WritePredictions",
]
