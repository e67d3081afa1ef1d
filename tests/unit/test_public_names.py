"""The public names: a change of this list is a change for users, and belongs into the changelog."""

from __future__ import annotations

import lightning_nas
from lightning_nas import callbacks, data, spaces, testing

NAMES = {
    lightning_nas: """Adam AdditiveCost Anchors Architecture Budget CellSkeleton Classification Condition
        Configurable Cost CostTerms CsvLatency DartsSearch Decision Derivation DifferentiableSearch Edge
        EdgeGroup EdgeWeights EdgewiseSpace EnasSearch Evaluation Evaluator EvolutionSearch Execution ExpectedCost
        ExportError ExportReport
        Fidelity FidelitySchedule FitEvaluator GdasSearch Genotype GumbelHard Job Latency LogitsController
        LstmController Macs MeasuredLatency MetricReward MultiTrialSearch NasnetSearch NetworkOutput
        NetworkTraining NonFiniteLossError Norm NothingFitsError Nsga2Sampler OptionalPart OptionalTerm
        Parameters ParetoSearch PeakActivationMemory Ppo Proposal RandomSearch RandomSharingSearch
        RegularizedEvolution Reinforce ReinforceSearch Relaxation Reward Sampler SearchModule SearchSpace Sgd
        SinglePathSearch Skeleton Softmax StagedSkeleton SuccessiveHalving SupernetEvaluator SupernetSearch
        SupernetSpace TableEvaluator TableLatency Task TooManyFailuresError Trial UniformSampler
        WeightSharingSearch WeightStore WeightedProduct WeightedSum best_trial export_network""",
    spaces: """CANDIDATES ChainSkeleton ConvChainSpace DartsSpace EnasMacroSpace EnasMicroSpace MacroSkeleton
        NasBench201Space NasnetSpace Place
        published published_names register_candidate""",
    callbacks: """ArchitectureMonitor DropPathSchedule ExtractGenotype ParetoFront ReducedFidelity StackCells
        TemperatureSchedule TrialMonitor WeightInheritance WritePredictions""",
    data: """Augment Bilevel Cifar10 Cifar100 Digits FashionMnist ImageData ImageFolder InputDescription Phased""",
    testing: """BoringData BoringSkeleton BoringSpace RelaxationContract SamplerContract SMALL_SPACES
        SearchContract SmallSpace SpaceContract SupernetSpaceContract""",
}


def test_public_names() -> None:
    for module, names in NAMES.items():
        assert sorted(module.__all__) == sorted(names.split()), module.__name__
        assert all(hasattr(module, name) for name in module.__all__)
