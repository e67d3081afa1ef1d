"""Callbacks that extract, stack, schedule and watch; they know the families of searches, never a method or a space."""

from lightning_nas.callbacks.extraction import ExtractGenotype
from lightning_nas.callbacks.monitor import ArchitectureMonitor
from lightning_nas.callbacks.pareto import ParetoFront
from lightning_nas.callbacks.predictions import WritePredictions
from lightning_nas.callbacks.stacking import StackCells
from lightning_nas.callbacks.trials import TrialMonitor
from lightning_nas.inheritance import WeightInheritance
from lightning_nas.training.reduced_fidelity import ReducedFidelity
from lightning_nas.training.schedules import DropPathSchedule, TemperatureSchedule

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
