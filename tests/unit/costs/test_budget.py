"""Budgets: what they refuse, what genotypes cost, and the most probable genotype that keeps the limits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.budgets import Counted, everything
from helpers.supernet_cases import SEARCH_CASES as CASES
from lightning_nas import (
    Budget,
    CellSkeleton,
    Genotype,
    Macs,
    NothingFitsError,
    Parameters,
    SearchSpace,
    Skeleton,
    SupernetSpace,
)
from lightning_nas.config import instantiate
from lightning_nas.costs.budget import Costing
from lightning_nas.costs.limits import Likelihood, check_limits, extremes, most_probable
from lightning_nas.testing import BoringSkeleton, BoringSpace

pytestmark = pytest.mark.slow

SPACE, SKELETON = BoringSpace(), BoringSkeleton()


def draw(space: SupernetSpace, seed: int) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    groups = space.groups.items()
    return {name: (2 * torch.randn(group.shape, generator=source)).softmax(-1) for name, group in groups}


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"max_params": 0}, r"Budget\(max_params=0\): give a positive number, or None for no limit\."),
        ({"max_macs": -1.0}, r"Budget\(max_macs=-1\.0\): give a positive number"),
        ({"max_latency_ms": 5.0}, r"Budget\(max_latency_ms=5\.0\) needs to know how latency is found: add a cost"),
        ({"costs": [Parameters(), Parameters()]}, r"Budget\(costs=\.\.\.\) has 2 of the name 'params': give one"),
    ],
)
def test_bad_budgets(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget(**arguments)


def test_costs_are_there_that_limits_need() -> None:
    def names(budget: Budget) -> list[str]:
        return [cost.name for cost in budget.costs]

    assert names(Budget()) == ["params", "macs"]
    assert names(Budget(costs=[])) == []
    assert names(Budget(costs=[], max_macs=1e6)) == ["macs"]
    assert names(Budget(costs=[Counted()], max_params=1e6, max_latency_ms=3.0)) == ["params", "latency_ms"]
    given = Macs(image_size=16)
    assert Budget(costs=[given], max_macs=1e6).costs == (given,)


def test_a_budget_is_plain_data() -> None:
    budget = Budget([Macs(8)], CellSkeleton(cells=20), max_params=1e6)
    again = instantiate(budget.config())
    assert (again.limits, again.skeleton, again.costs[1].size) == (budget.limits, budget.skeleton, (8, 8))


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_figures_are_those_of_the_network_of_the_budget(case: str) -> None:
    space, final = CASES[case]
    costing = Costing(Budget(skeleton=final, max_params=1.0), space, SKELETON)
    assert costing.skeleton == final
    for seed in range(3):
        genotype = space.sample(torch.Generator().manual_seed(seed))
        size = float(sum(weight.numel() for weight in space.build(genotype, final).parameters()))
        assert costing.figures(genotype)["params"] == size
        assert costing.excess(genotype) == {"params": size - 1.0}
        assert costing.miss(genotype) == size - 1.0
    assert f"params {size:,.0f} is {size - 1:,.0f} (" in costing.refusal(genotype)
    assert costing.refusal(genotype).endswith("%) more than max_params=1")
    assert costing.text(genotype)[0] == f"params: {size:,.0f} (at most 1)"


def test_a_cost_that_is_no_sum_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Genotype] = []
    call = Counted.__call__

    def counted(self: Counted, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> float:
        calls.append(genotype)
        return call(self, space, genotype, skeleton)

    monkeypatch.setattr(Counted, "__call__", counted)
    costing = Costing(Budget([Counted()], max_latency_ms=2.0), SPACE, SKELETON)
    genotype = everything(SPACE)[-1]
    assert not costing.fits(genotype)
    assert costing.refusal(genotype) == "latency_ms 3 is 1 (50.0%) more than max_latency_ms=2"
    assert calls == [genotype]


def test_without_limits_everything_fits() -> None:
    costing = Costing(None, SPACE, SKELETON)
    assert costing.fits(everything(SPACE)[0])
    assert costing.figures(everything(SPACE)[0]) == {}


# --- within limits --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["BoringSpace", "NasBench201Space"])
def test_extremes_are_those_of_all_genotypes(case: str) -> None:
    space, skeleton = CASES[case]
    costing = Costing(Budget(skeleton=skeleton), space, skeleton)
    genotypes = everything(space) if case == "BoringSpace" else everything(space)[::25]
    sizes = [costing.figure("params", genotype) for genotype in genotypes]
    low, high = extremes(costing, "params")
    assert low <= min(sizes)
    assert high >= max(sizes)
    if case == "BoringSpace":
        assert (low, high) == (min(sizes), max(sizes))


@pytest.mark.parametrize("case", CASES)
def test_the_smallest_of_many_is_not_below_the_least(case: str) -> None:
    space, skeleton = CASES[case]
    costing = Costing(Budget(skeleton=skeleton), space, skeleton)
    low, high = extremes(costing, "params")
    source = torch.Generator().manual_seed(1)
    sizes = [costing.figure("params", space.sample(source)) for _ in range(200)]
    assert low <= min(sizes)
    assert max(sizes) <= high


def test_limits_that_nothing_keeps() -> None:
    costing = Costing(Budget(max_params=100), SPACE, SKELETON)
    least, _ = extremes(costing, "params")
    message = (
        rf"Budget\(max_params=100\): the smallest network of BoringSpace has params {least:,.0f} with Bori.*"
        rf"\), {least - 100:,.0f} \({least - 100:.1f}%\) more: raise the limit, or give a smaller skeleton"
    )
    with pytest.raises(ValueError, match=message):
        check_limits(costing)
    check_limits(Costing(Budget(max_params=least), SPACE, SKELETON))


@pytest.mark.parametrize("seed", range(5))
def test_the_most_probable_one_of_all_is_found(seed: int) -> None:
    """Of all 27 genotypes that keep the limit none is more probable than the one found."""
    plain = Costing(Budget(), SPACE, SKELETON)
    sizes = sorted({plain.figure("params", genotype) for genotype in everything(SPACE)})
    probabilities = draw(SPACE, seed)
    likelihood, wanted = Likelihood(SPACE, probabilities), SPACE.discretize(probabilities)
    for limit in sizes:
        costing = Costing(Budget(max_params=limit), SPACE, SKELETON)
        found = most_probable(costing, probabilities, wanted)
        assert costing.fits(found)
        best = max((genotype for genotype in everything(SPACE) if costing.fits(genotype)), key=likelihood)
        assert likelihood(found) == pytest.approx(likelihood(best))
        if costing.fits(wanted):
            assert found is wanted


@pytest.mark.parametrize("case", CASES)
def test_the_one_found_is_more_probable_than_random_ones(case: str) -> None:
    space, skeleton = CASES[case]
    source = torch.Generator().manual_seed(2)
    drawn = [space.sample(source) for _ in range(200)]
    plain = Costing(Budget(skeleton=skeleton), space, skeleton)
    limit = sorted(plain.figure("params", genotype) for genotype in drawn)[50]
    costing = Costing(Budget(skeleton=skeleton, max_params=limit), space, skeleton)
    for seed in range(4):
        probabilities = draw(space, seed)
        likelihood = Likelihood(space, probabilities)
        found = most_probable(costing, probabilities, space.discretize(probabilities))
        assert costing.fits(found)
        assert found == most_probable(costing, probabilities, space.discretize(probabilities))
        assert likelihood(found) >= max(likelihood(genotype) for genotype in drawn if costing.fits(genotype))


def test_several_limits_hold_together() -> None:
    space, skeleton = CASES["DartsSpace-imagenet"]
    plain = Costing(Budget(skeleton=skeleton), space, skeleton)
    source = torch.Generator().manual_seed(3)
    drawn = [plain.figures(space.sample(source)) for _ in range(100)]
    limits = {name: sorted(figures[name] for figures in drawn)[30] for name in ("params", "macs")}
    budget = Budget(skeleton=skeleton, max_params=limits["params"], max_macs=limits["macs"])
    costing = Costing(budget, space, skeleton)
    for seed in range(4):
        probabilities = draw(space, seed)
        assert costing.fits(most_probable(costing, probabilities, space.discretize(probabilities)))


def test_an_extraction_of_ones_own_is_kept_to() -> None:
    def always_the_last_edge_first(probabilities: Any) -> Genotype:
        strongest = SPACE.discretize(probabilities).as_mapping()
        return SPACE.genotype(strongest | {"cell.1_0": "skip_connect"})

    costing = Costing(Budget(max_params=400), SPACE, SKELETON)
    probabilities = {"cell": torch.tensor([[0.0, 0.1, 0.9]] * 3)}
    found = always_the_last_edge_first(probabilities)
    fitting = most_probable(costing, probabilities, found, always_the_last_edge_first)
    assert costing.fits(fitting)
    assert not costing.fits(found)


def test_no_genotype_keeps_all_limits() -> None:
    costing = Costing(Budget(max_params=100), SPACE, SKELETON)
    probabilities = draw(SPACE, 0)
    with pytest.raises(
        NothingFitsError, match=r"No genotype was found that keeps all limits: of the nearest one, param"
    ):
        most_probable(costing, probabilities, SPACE.discretize(probabilities))
