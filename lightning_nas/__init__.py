"""Neural architecture search as plugins for PyTorch Lightning."""

from lightning_nas.anchors import Anchors
from lightning_nas.config import Configurable
from lightning_nas.controller import LogitsController, LstmController, Ppo, Reinforce
from lightning_nas.derivation import Derivation
from lightning_nas.edge import Architecture, Edge, EdgeGroup, EdgeWeights
from lightning_nas.evaluator import Evaluator, FitEvaluator, Job, SupernetEvaluator, TableEvaluator
from lightning_nas.export import ExportError, ExportReport, export_network
from lightning_nas.genotype import Condition, Decision, Genotype
from lightning_nas.inheritance import WeightStore
from lightning_nas.methods import (
    DartsSearch,
    EnasSearch,
    EvolutionSearch,
    GdasSearch,
    GumbelHard,
    NasnetSearch,
    RandomSearch,
    RandomSharingSearch,
    ReinforceSearch,
    SinglePathSearch,
)
from lightning_nas.module import NonFiniteLossError
from lightning_nas.optimizer import Adam, Sgd
from lightning_nas.relaxation import Relaxation, Softmax
from lightning_nas.reward import MetricReward, Reward
from lightning_nas.sampler import (
    FidelitySchedule,
    RegularizedEvolution,
    Sampler,
    SuccessiveHalving,
    UniformSampler,
)
from lightning_nas.search import (
    DifferentiableSearch,
    MultiTrialSearch,
    SearchModule,
    SupernetSearch,
    TooManyFailuresError,
    WeightSharingSearch,
)
from lightning_nas.skeleton import CellSkeleton, NetworkOutput, Norm, Skeleton, StagedSkeleton
from lightning_nas.space import EdgewiseSpace, SearchSpace, SupernetSpace
from lightning_nas.task import Classification, Task
from lightning_nas.training import NetworkTraining
from lightning_nas.trial import Evaluation, Fidelity, Proposal, Trial, best_trial

__all__ = [
    "Adam",
    "Anchors",
    "Architecture",
    "CellSkeleton",
    "Classification",
    "Condition",
    "Configurable",
    "DartsSearch",
    "Decision",
    "Derivation",
    "DifferentiableSearch",
    "Edge",
    "EdgeGroup",
    "EdgeWeights",
    "EdgewiseSpace",
    "EnasSearch",
    "Evaluation",
    "Evaluator",
    "EvolutionSearch",
    "ExportError",
    "ExportReport",
    "Fidelity",
    "FidelitySchedule",
    "FitEvaluator",
    "GdasSearch",
    "Genotype",
    "GumbelHard",
    "Job",
    "LogitsController",
    "LstmController",
    "MetricReward",
    "MultiTrialSearch",
    "NasnetSearch",
    "NetworkOutput",
    "NetworkTraining",
    "NonFiniteLossError",
    "Norm",
    "Ppo",
    "Proposal",
    "RandomSearch",
    "RandomSharingSearch",
    "RegularizedEvolution",
    "Reinforce",
    "ReinforceSearch",
    "Relaxation",
    "Reward",
    "Sampler",
    "SearchModule",
    "SearchSpace",
    "Sgd",
    "SinglePathSearch",
    "Skeleton",
    "Softmax",
    "StagedSkeleton",
    "SuccessiveHalving",
    "SupernetEvaluator",
    "SupernetSearch",
    "SupernetSpace",
    "TableEvaluator",
    "Task",
    "TooManyFailuresError",
    "Trial",
    "UniformSampler",
    "WeightSharingSearch",
    "WeightStore",
    "best_trial",
    "export_network",
]
__version__ = "0.1.0"
