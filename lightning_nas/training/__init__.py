"""Training of one network: the guarded module, tasks, optimizers, schedules."""

from lightning_nas.training.module import GuardedModule, NonFiniteLossError
from lightning_nas.training.network import NetworkTraining
from lightning_nas.training.optimizer import Adam, Sgd
from lightning_nas.training.reduced_fidelity import ReducedFidelity
from lightning_nas.training.schedules import DropPathSchedule, TemperatureSchedule
from lightning_nas.training.task import Classification, Task

__all__ = [
    "Adam",
    "Classification",
    "DropPathSchedule",
    "GuardedModule",
    "NetworkTraining",
    "NonFiniteLossError",
    "ReducedFidelity",
    "Sgd",
    "Task",
    "TemperatureSchedule",
]
