"""How edges are run: one by one, the readable reference, or together, with the same function and state."""

from lightning_nas.execution.norm import BatchNorm, Norm, batch_statistics, synchronize
from lightning_nas.execution.protocols import GivesZero, Plan, RunsJointly, RunsRectified, SharesInput
from lightning_nas.execution.reference import DropPath, FanOut, FanOutEdge, Identity
from lightning_nas.execution.settings import Execution
from lightning_nas.execution.shared import ChildFanOut, SharedFanOut

__all__ = [
    "BatchNorm",
    "ChildFanOut",
    "DropPath",
    "Execution",
    "FanOut",
    "FanOutEdge",
    "GivesZero",
    "Identity",
    "Norm",
    "Plan",
    "RunsJointly",
    "RunsRectified",
    "SharedFanOut",
    "SharesInput",
    "batch_statistics",
    "synchronize",
]
