"""The terms of additive costs against networks that are built, in every space that has a supernet."""

from __future__ import annotations

import pytest
import torch

from lightning_nas import CellSkeleton, Skeleton, StagedSkeleton, SupernetSpace
from lightning_nas import spaces as all_spaces
from lightning_nas.cost import AdditiveCost, Macs, Parameters
from lightning_nas.spaces import (
    DartsSpace,
    EnasMacroSpace,
    EnasMicroSpace,
    MacroSkeleton,
    NasBench201Space,
    NasnetSpace,
)
from lightning_nas.testing import BoringSkeleton, BoringSpace
from lightning_nas.testing.space import sampled

# Under final skeletons; a new space that has a supernet takes its place here.
CASES: dict[str, tuple[SupernetSpace, Skeleton]] = {
    "DartsSpace": (DartsSpace(), CellSkeleton(cells=5, channels=6, auxiliary=True)),
    "DartsSpace-fixed": (DartsSpace(reduction="fixed"), CellSkeleton(cells=3, channels=4)),
    "DartsSpace-imagenet": (DartsSpace(nodes=2), CellSkeleton(cells=4, channels=4, stem="imagenet", pool_norm=True)),
    "NasBench201Space": (NasBench201Space(), StagedSkeleton(channels=6, cells_per_stage=2)),
    "NasnetSpace": (NasnetSpace(), CellSkeleton(cells=5, channels=4, auxiliary=True)),
    "NasnetSpace-one-cell": (NasnetSpace(blocks=2), CellSkeleton(cells=1, channels=4)),
    "EnasMicroSpace": (EnasMicroSpace(), CellSkeleton(cells=4, channels=4, stem="imagenet")),
    "EnasMacroSpace": (EnasMacroSpace(layers=7), MacroSkeleton(channels=4)),
    "EnasMacroSpace-concatenate": (
        EnasMacroSpace(layers=6),
        MacroSkeleton(channels=4, merge="concatenate", growth=2, dropout=0.5),
    ),
    "EnasMacroSpace-stem": (EnasMacroSpace(layers=6, first_source=0), MacroSkeleton(channels=3, merge="concatenate")),
    "BoringSpace": (BoringSpace(), BoringSkeleton()),
}
COSTS: dict[str, AdditiveCost] = {
    "params": Parameters(),
    "params-auxiliary": Parameters(auxiliary=True),
    "macs": Macs(image_size=(35, 48), biases=True),
}


def test_every_supernet_space_is_here() -> None:
    found = [getattr(all_spaces, name) for name in all_spaces.__all__]
    supernets = {cls for cls in found if isinstance(cls, type) and issubclass(cls, SupernetSpace)}
    assert supernets <= {type(space) for space, _ in CASES.values()}


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("case", CASES)
def test_terms_add_up_to_the_cost_of_children(case: str, cost: str) -> None:
    (space, skeleton), measure = CASES[case], COSTS[cost]
    terms = measure.terms(space, skeleton)
    assert {name: table.shape for name, table in terms.candidates.items()} == {
        name: group.shape for name, group in space.groups.items()
    }
    assert {table.dtype for table in terms.candidates.values()} == {torch.float64}
    costs = set()
    for genotype in sampled(space, 50):
        exact = measure(space, genotype, skeleton)
        assert terms.total(space.selection(genotype)) == pytest.approx(exact, abs=1e-6)
        costs.add(exact)
    assert len(costs) > 3  # a cost that is always the same would show nothing
