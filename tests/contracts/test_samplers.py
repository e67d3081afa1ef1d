"""The contract of samplers, for every one that the package has."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

import lightning_nas
from lightning_nas import (
    Fidelity,
    FidelitySchedule,
    LogitsController,
    LstmController,
    Nsga2Sampler,
    Ppo,
    RegularizedEvolution,
    Reinforce,
    Sampler,
    SuccessiveHalving,
    UniformSampler,
)
from lightning_nas.spaces import ConvChainSpace, DartsSpace, EnasMacroSpace, NasBench201Space, NasnetSpace
from lightning_nas.testing import SamplerContract
from lightning_nas.trials.objectives import Direction

SPACE = NasBench201Space()
CHAIN = ConvChainSpace(depths=(2, 4), strides=(1, 2))
GROWING = {0: {"depth": "2"}, 6: {"depth": "4"}}
OBJECTIVES: dict[str, Direction] = {"val/accuracy": "max", "params": "min"}
RUNGS = (Fidelity(epochs=1), Fidelity(epochs=3), Fidelity(epochs=9))
# What each sampler is tested with; a new sampler takes its place here.
SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "UniformSampler": lambda: UniformSampler(SPACE),
    "UniformSampler-fixed": lambda: UniformSampler(CHAIN, fixed=GROWING),
    "RegularizedEvolution": lambda: RegularizedEvolution(SPACE, population=6, sample=3),
    "RegularizedEvolution-fixed": lambda: RegularizedEvolution(
        CHAIN, 4, 2, fixed={0: {"depth": "2"}, 6: {"depth": "4"}}
    ),
    "Nsga2Sampler": lambda: Nsga2Sampler(SPACE, OBJECTIVES, population=6),
    "Nsga2Sampler-chain": lambda: Nsga2Sampler(CHAIN, OBJECTIVES, population=4, mutation=0.3),
    "Nsga2Sampler-fixed": lambda: Nsga2Sampler(CHAIN, OBJECTIVES, population=4, fixed=GROWING),
    "FidelitySchedule": lambda: FidelitySchedule(UniformSampler(SPACE), {0: RUNGS[0], 5: RUNGS[1]}),
    "SuccessiveHalving": lambda: SuccessiveHalving(UniformSampler(SPACE), RUNGS),
    "SuccessiveHalving-lstm": lambda: SuccessiveHalving(LstmController(SPACE), RUNGS, keep=0.5),
    "LogitsController": lambda: LogitsController(SPACE, Reinforce(entropy_weight=0.01)),
    "LogitsController-chain": lambda: LogitsController(CHAIN, Ppo()),
    "LstmController": lambda: LstmController(SPACE),
    "LstmController-darts": lambda: LstmController(DartsSpace(), rule=Ppo()),
    "LstmController-nasnet": lambda: LstmController(NasnetSpace(), hidden=8),
    "LstmController-macro": lambda: LstmController(EnasMacroSpace(layers=5), hidden=8),
    "LstmController-chain": lambda: LstmController(CHAIN, hidden=8, rule=Ppo(steps=2)),
    "LstmController-fixed": lambda: LstmController(CHAIN, hidden=8, fixed=GROWING),
}

for _case, _make in SAMPLERS.items():
    _name = f"Test{_case.replace('-', '_')}"
    globals()[_name] = type(_name, (SamplerContract,), {"sampler": lambda self, make=_make: make()})


def test_every_sampler_has_a_suite() -> None:
    public = [getattr(lightning_nas, name) for name in lightning_nas.__all__]
    samplers = [x for x in public if isinstance(x, type) and issubclass(x, Sampler) and not inspect.isabstract(x)]
    tested = {case.partition("-")[0] for case in SAMPLERS}
    for sampler in samplers:
        assert sampler.__name__ in tested, f"Give {sampler.__name__} a place in SAMPLERS: its contract is untested."


@pytest.mark.parametrize("case", [case for case in SAMPLERS if case.endswith("-fixed")])
def test_what_is_fixed_grows_with_the_trials(case: str) -> None:
    sampler = SAMPLERS[case]()
    proposals = SamplerContract().play(sampler, 3)
    depths = [proposal.genotype["depth"] for proposal in proposals]
    assert depths == ["2"] * 6 + ["4"] * 6
    assert {proposal.fixed for proposal in proposals} == {("depth",)}
