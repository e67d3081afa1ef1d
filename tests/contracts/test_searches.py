"""The contracts of searches and relaxations, for every one that the package has."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

import lightning_nas
from lightning_nas import (
    Adam,
    Budget,
    CellSkeleton,
    DartsSearch,
    Derivation,
    DifferentiableSearch,
    EnasSearch,
    EvolutionSearch,
    ExpectedCost,
    Fidelity,
    FitEvaluator,
    GdasSearch,
    GumbelHard,
    LogitsController,
    Macs,
    MultiTrialSearch,
    NasnetSearch,
    Parameters,
    ParetoSearch,
    RandomSearch,
    RandomSharingSearch,
    ReinforceSearch,
    Relaxation,
    SearchModule,
    SinglePathSearch,
    Softmax,
    StagedSkeleton,
    WeightedProduct,
    WeightedSum,
    WeightSharingSearch,
)
from lightning_nas.data import Digits, Phased
from lightning_nas.spaces import (
    ChainSkeleton,
    ConvChainSpace,
    DartsSpace,
    EnasMacroSpace,
    EnasMicroSpace,
    MacroSkeleton,
    NasBench201Space,
    NasnetSpace,
)
from lightning_nas.testing import BoringSkeleton, BoringSpace, RelaxationContract, SearchContract

pytestmark = pytest.mark.slow

DARTS = CellSkeleton(cells=2, channels=4)
STAGED = StagedSkeleton(channels=4, cells_per_stage=1)
CELLS = CellSkeleton(cells=2, channels=4, in_channels=1)
LIMITED = Budget(max_params=600)  # of 246 to 702 parameters
FAST = Fidelity(epochs=1, share=0.1)


def children() -> FitEvaluator:
    return FitEvaluator(Digits(batch_size=64, validation=0.1))


def two_phases(sampler_steps: int) -> Phased:
    return Phased(Digits(batch_size=64, validation=0.1), fraction=0.5, weight_steps=4, sampler_steps=sampler_steps)


# What each search is tested with; a new search takes its place here.
SEARCHES: dict[str, Callable[[], SearchModule]] = {
    "DifferentiableSearch": lambda: DifferentiableSearch(BoringSpace(), BoringSkeleton(), Softmax()),
    "DartsSearch-first": lambda: DartsSearch(BoringSpace(), BoringSkeleton()),
    "DartsSearch-second": lambda: DartsSearch(DartsSpace(nodes=2), DARTS, order=2),
    "GdasSearch-darts": lambda: GdasSearch(DartsSpace(nodes=2), DARTS),
    "GdasSearch-nasbench201": lambda: GdasSearch(NasBench201Space(), STAGED),
    "GdasSearch-macro": lambda: GdasSearch(EnasMacroSpace(layers=3), MacroSkeleton(channels=4)),
    "DartsSearch-budget": lambda: DartsSearch(
        BoringSpace(), BoringSkeleton(), budget=LIMITED, expected_cost=ExpectedCost(Parameters(), 500.0)
    ),
    "GdasSearch-budget": lambda: GdasSearch(
        DartsSpace(nodes=2), DARTS, budget=Budget([Macs(8)]), expected_cost=ExpectedCost(Macs(8), 7e4, mode="at_most")
    ),
    "MultiTrialSearch-budget": lambda: MultiTrialSearch(
        LogitsController(BoringSpace(), fidelity=FAST),
        children(),
        BoringSkeleton(in_channels=1),
        WeightedProduct("params", 500.0),
        trials=8,
        round_size=4,
        budget=LIMITED,
    ),
    "EnasSearch-budget": lambda: EnasSearch(
        BoringSpace(),
        BoringSkeleton(in_channels=1),
        Derivation(4, round_size=2),
        WeightedSum({"params": 1e-4}),
        round_size=2,
        budget=LIMITED,
    ),
    "SinglePathSearch-budget": lambda: SinglePathSearch(
        BoringSpace(),
        BoringSkeleton(in_channels=1),
        population=4,
        sample=2,
        candidates=20,
        batches=1,
        recalibrate=2,
        budget=LIMITED,
    ),
    "MultiTrialSearch": lambda: MultiTrialSearch(
        LogitsController(BoringSpace(), fidelity=FAST), children(), BoringSkeleton(in_channels=1), trials=4
    ),
    "ReinforceSearch": lambda: ReinforceSearch(
        ConvChainSpace(depths=(2, 3)),
        children(),
        ChainSkeleton(8, in_channels=1),
        trials=4,
        round_size=2,
        fidelity=FAST,
    ),
    "NasnetSearch": lambda: NasnetSearch(
        NasnetSpace(blocks=2), children(), CELLS, trials=4, round_size=4, fidelity=FAST
    ),
    "EvolutionSearch": lambda: EvolutionSearch(
        DartsSpace(nodes=2), children(), CELLS, population=2, sample=1, trials=4, fidelity=FAST
    ),
    "WeightSharingSearch": lambda: WeightSharingSearch(
        LogitsController(BoringSpace(), optimizer=Adam(0.1)), BoringSkeleton(in_channels=1), Derivation(4, round_size=2)
    ),
    "EnasSearch-micro": lambda: EnasSearch(EnasMicroSpace(blocks=2), CELLS, Derivation(4, round_size=2), round_size=2),
    "EnasSearch-macro": lambda: EnasSearch(
        EnasMacroSpace(layers=3), MacroSkeleton(4, in_channels=1), Derivation(4, round_size=2), round_size=3
    ),
    "RandomSharingSearch": lambda: RandomSharingSearch(
        DartsSpace(nodes=2), CELLS, Derivation(4, every=2, round_size=2)
    ),
    "SinglePathSearch": lambda: SinglePathSearch(
        BoringSpace(), BoringSkeleton(in_channels=1), population=4, sample=2, candidates=20, batches=1, recalibrate=2
    ),
    "ParetoSearch": lambda: ParetoSearch(
        ConvChainSpace(depths=(2, 3)),
        children(),
        ChainSkeleton(8, in_channels=1),
        population=2,
        fidelity=FAST,
        trials=4,
    ),
    "RandomSearch": lambda: RandomSearch(BoringSpace(), children(), BoringSkeleton(in_channels=1), FAST, trials=4),
}
# A new relaxation takes its place here; True: the seed matters.
RELAXATIONS: dict[str, tuple[Callable[[], Relaxation], bool]] = {
    "Softmax": (Softmax, False),
    "GumbelHard": (GumbelHard, True),
    "GumbelHard-cold": (lambda: GumbelHard(temperature=0.5, inactive_gradient=True), True),
}


def name_of(case: str) -> str:
    return f"Test{case.replace('-', '_')}"


for _case, _make in SEARCHES.items():
    _members, _made = {"search": lambda self, make=_make: make()}, _make()
    if isinstance(_made, MultiTrialSearch):  # its batches are its own
        _members["datamodule"] = lambda self: None
    if isinstance(_made, WeightSharingSearch):
        learns = any(True for _ in _made.sampler.parameters())
        _members["datamodule"] = lambda self, steps=(5 if learns else 0): two_phases(steps)
    globals()[name_of(_case)] = type(name_of(_case), (SearchContract,), _members)
for _case, (_make_one, _stochastic) in RELAXATIONS.items():
    _members = {"relaxation": lambda self, make=_make_one: make(), "stochastic": _stochastic}
    globals()[name_of(_case)] = type(name_of(_case), (RelaxationContract,), _members)


def concrete(base: type) -> list[type]:
    """The concrete subclasses of `base` that the package shows."""
    public = [getattr(lightning_nas, name) for name in lightning_nas.__all__]
    return [x for x in public if isinstance(x, type) and issubclass(x, base) and not inspect.isabstract(x)]


@pytest.mark.parametrize("search", concrete(SearchModule), ids=lambda search: search.__name__)
def test_every_search_has_a_suite(search: type[SearchModule]) -> None:
    tested = {case.partition("-")[0] for case in SEARCHES}
    assert search.__name__ in tested, f"Give {search.__name__} on a small skeleton a place in SEARCHES."


@pytest.mark.parametrize("relaxation", concrete(Relaxation), ids=lambda relaxation: relaxation.__name__)
def test_every_relaxation_has_a_suite(relaxation: type[Relaxation]) -> None:
    tested = {case.partition("-")[0] for case in RELAXATIONS}
    assert relaxation.__name__ in tested, f"Give {relaxation.__name__} a place in RELAXATIONS."
