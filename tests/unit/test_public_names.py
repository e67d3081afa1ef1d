"""The public names: a change of this list is a change for users, and belongs into the changelog."""

from __future__ import annotations

import lightning_nas
from lightning_nas import callbacks, data, spaces, testing

NAMES = {
    lightning_nas: """Adam Architecture CellSkeleton Classification Configurable DartsSearch Decision
        DifferentiableSearch Edge EdgeGroup EdgeWeights EdgewiseSpace GdasSearch Genotype GumbelHard NetworkOutput
        NetworkTraining NonFiniteLossError Norm Relaxation SearchModule SearchSpace Sgd Skeleton Softmax StagedSkeleton
        SupernetSpace Task""",
    spaces: """CANDIDATES DartsSpace NasBench201Space Place published published_names register_candidate""",
    callbacks: """ArchitectureMonitor DropPathSchedule ExtractGenotype StackCells TemperatureSchedule
        WritePredictions""",
    data: """Augment Bilevel Cifar10 Cifar100 Digits FashionMnist ImageData ImageFolder""",
    testing: """BoringData BoringSkeleton BoringSpace RelaxationContract SearchContract SpaceContract
        SupernetSpaceContract""",
}


def test_public_names() -> None:
    for module, names in NAMES.items():
        assert sorted(module.__all__) == sorted(names.split()), module.__name__
        assert all(hasattr(module, name) for name in module.__all__)
