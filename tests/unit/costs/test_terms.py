"""The terms of additive costs against networks that are built, in every space that has a supernet."""

from __future__ import annotations

import pytest
import torch

from helpers.supernet_cases import FINAL_NETWORKS as CASES
from helpers.supernet_cases import PUBLISHED_NETWORKS
from lightning_nas import SupernetSpace
from lightning_nas import spaces as all_spaces
from lightning_nas.costs import AdditiveCost, Macs, Parameters
from lightning_nas.testing.space import sampled

pytestmark = pytest.mark.slow

COSTS: dict[str, AdditiveCost] = {
    "params": Parameters(),
    "params-auxiliary": Parameters(auxiliary=True),
    "macs": Macs(image_size=(35, 48), biases=True),
}


def test_every_supernet_space_is_here() -> None:
    found = [getattr(all_spaces, name) for name in all_spaces.__all__]
    supernets = {cls for cls in found if isinstance(cls, type) and issubclass(cls, SupernetSpace)}
    assert supernets <= {type(space) for space, _ in CASES.values()}


@pytest.mark.parametrize("count", [12, pytest.param(50, marks=pytest.mark.long)])
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("case", CASES)
def test_terms_add_up_to_the_cost_of_children(case: str, cost: str, count: int) -> None:
    (space, skeleton), measure = (PUBLISHED_NETWORKS if count == 50 else CASES)[case], COSTS[cost]
    terms = measure.terms(space, skeleton)
    assert {name: table.shape for name, table in terms.candidates.items()} == {
        name: group.shape for name, group in space.groups.items()
    }
    assert {table.dtype for table in terms.candidates.values()} == {torch.float64}
    costs = set()
    for genotype in sampled(space, count if space.size > 50 else 50):
        exact = measure(space, genotype, skeleton)
        assert terms.total(space.selection(genotype)) == pytest.approx(exact, abs=1e-6)
        costs.add(exact)
    assert len(costs) > 3  # a cost that is always the same would show nothing
