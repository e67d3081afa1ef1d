"""Fifty sampled paths of each space, at the papers' number of decisions, against the extracted children."""

from __future__ import annotations

import pytest
import torch

from lightning_nas import CellSkeleton, Skeleton, StagedSkeleton, SupernetSpace
from lightning_nas.spaces import (
    DartsSpace,
    EnasMacroSpace,
    EnasMicroSpace,
    MacroSkeleton,
    NasBench201Space,
    NasnetSpace,
)
from lightning_nas.testing.space import random_images, sampled
from lightning_nas.testing.supernet import assert_same_output, equal_norms, extract, used_supernet

pytestmark = pytest.mark.long
CELLS = CellSkeleton(cells=3, channels=4)
CASES: dict[str, tuple[SupernetSpace, Skeleton]] = {
    "darts": (DartsSpace(), CELLS),
    "nasbench201": (NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1)),
    "nasnet": (NasnetSpace(blocks=3), CELLS),
    "enas micro": (EnasMicroSpace(blocks=4), CELLS),
    "enas macro": (EnasMacroSpace(layers=12), MacroSkeleton(channels=4)),
    "enas macro, final form": (EnasMacroSpace(layers=6), MacroSkeleton(channels=4, merge="concatenate")),
}


@pytest.mark.parametrize("case", CASES)
def test_path_is_the_child_with_inherited_weights(case: str) -> None:
    space, skeleton = CASES[case]
    skeleton = equal_norms(skeleton)
    images = random_images((3, 12, 12))
    supernet = used_supernet(space, skeleton, images)
    state = {key: value.clone() for key, value in supernet.state_dict().items()}
    paths = sampled(space, 50)
    assert len(set(paths)) == 50
    for genotype in paths:
        supernet.load_state_dict(state)
        child = extract(space, genotype, skeleton, state)
        for network in (supernet, child):
            network.train()
        with torch.no_grad():
            assert_same_output(supernet(images, space.path(genotype)), child(images))
            supernet.eval()
            child.eval()
            assert_same_output(supernet(images, space.path(genotype)), child(images))
