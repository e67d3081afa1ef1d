"""Neural architecture search as plugins for PyTorch Lightning."""

from lightning_nas.architecture.decisions import Anchors, Condition, Decision
from lightning_nas.architecture.edges import Architecture, Edge, EdgeGroup, EdgeWeights, OptionalPart
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.architecture.relaxation import Relaxation, Softmax
from lightning_nas.config import Configurable
from lightning_nas.costs import (
    AdditiveCost,
    Budget,
    Cost,
    CostTerms,
    CsvLatency,
    ExpectedCost,
    Latency,
    Macs,
    MeasuredLatency,
    NothingFitsError,
    OptionalTerm,
    Parameters,
    PeakActivationMemory,
    TableLatency,
)
from lightning_nas.evaluators import Evaluator, FitEvaluator, Job, SupernetEvaluator, TableEvaluator
from lightning_nas.execution import Execution, Norm
from lightning_nas.export import ExportError, ExportReport, export_network
from lightning_nas.inheritance import WeightStore
from lightning_nas.methods import (
    DartsSearch,
    EnasSearch,
    EvolutionSearch,
    GdasSearch,
    GumbelHard,
    NasnetSearch,
    ParetoSearch,
    RandomSearch,
    RandomSharingSearch,
    ReinforceSearch,
    SinglePathSearch,
)
from lightning_nas.networks.skeleton import CellSkeleton, NetworkOutput, Skeleton, StagedSkeleton
from lightning_nas.samplers import (
    FidelitySchedule,
    Nsga2Sampler,
    RegularizedEvolution,
    Sampler,
    SuccessiveHalving,
    UniformSampler,
)
from lightning_nas.samplers.controllers import LogitsController, LstmController, Ppo, Reinforce
from lightning_nas.search import (
    DifferentiableSearch,
    MultiTrialSearch,
    SearchModule,
    SupernetSearch,
    TooManyFailuresError,
    WeightSharingSearch,
)
from lightning_nas.search.derivation import Derivation
from lightning_nas.spaces.base import EdgewiseSpace, SearchSpace, SupernetSpace
from lightning_nas.training.module import NonFiniteLossError
from lightning_nas.training.network import NetworkTraining
from lightning_nas.training.optimizer import Adam, Sgd
from lightning_nas.training.task import Classification, Task
from lightning_nas.trials.reward import MetricReward, Reward, WeightedProduct, WeightedSum
from lightning_nas.trials.trial import Evaluation, Fidelity, Proposal, Trial, best_trial

__all__ = [
    "Adam",
    "AdditiveCost",
    "Anchors",
    "Architecture",
    "Budget",
    "CellSkeleton",
    "Classification",
    "Condition",
    "Configurable",
    "Cost",
    "CostTerms",
    "CsvLatency",
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
    "Execution",
    "ExpectedCost",
    "ExportError",
    "ExportReport",
    "Fidelity",
    "FidelitySchedule",
    "FitEvaluator",
    "GdasSearch",
    "Genotype",
    "GumbelHard",
    "Job",
    "Latency",
    "LogitsController",
    "LstmController",
    "Macs",
    "MeasuredLatency",
    "MetricReward",
    "MultiTrialSearch",
    "NasnetSearch",
    "NetworkOutput",
    "NetworkTraining",
    "NonFiniteLossError",
    "Norm",
    "NothingFitsError",
    "Nsga2Sampler",
    "OptionalPart",
    "OptionalTerm",
    "Parameters",
    "ParetoSearch",
    "PeakActivationMemory",
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
    "TableLatency",
    "Task",
    "TooManyFailuresError",
    "Trial",
    "UniformSampler",
    "WeightSharingSearch",
    "WeightStore",
    "WeightedProduct",
    "WeightedSum",
    "best_trial",
    "export_network",
]
__version__ = "0.1.0"
