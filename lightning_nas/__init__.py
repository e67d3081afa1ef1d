"""Neural architecture search as plugins for PyTorch Lightning."""

from lightning_nas.config import Configurable
from lightning_nas.edge import Architecture, Edge, EdgeGroup, EdgeWeights
from lightning_nas.genotype import Decision, Genotype
from lightning_nas.methods import DartsSearch, GdasSearch, GumbelHard
from lightning_nas.module import NonFiniteLossError
from lightning_nas.optimizer import Adam, Sgd
from lightning_nas.relaxation import Relaxation, Softmax
from lightning_nas.search import DifferentiableSearch, SearchModule
from lightning_nas.skeleton import CellSkeleton, NetworkOutput, Norm, Skeleton, StagedSkeleton
from lightning_nas.space import EdgewiseSpace, SearchSpace, SupernetSpace
from lightning_nas.task import Classification, Task
from lightning_nas.training import NetworkTraining

__all__ = [
    "Adam",
    "Architecture",
    "CellSkeleton",
    "Classification",
    "Configurable",
    "DartsSearch",
    "Decision",
    "DifferentiableSearch",
    "Edge",
    "EdgeGroup",
    "EdgeWeights",
    "EdgewiseSpace",
    "GdasSearch",
    "Genotype",
    "GumbelHard",
    "NetworkOutput",
    "NetworkTraining",
    "NonFiniteLossError",
    "Norm",
    "Relaxation",
    "SearchModule",
    "SearchSpace",
    "Sgd",
    "Skeleton",
    "Softmax",
    "StagedSkeleton",
    "SupernetSpace",
    "Task",
]
__version__ = "0.1.0"
