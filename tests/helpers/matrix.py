"""Methods and spaces of the matrix, each as small as it can be, and the combinations that are run every time."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import pytest

from lightning_nas import (
    CellSkeleton,
    DartsSearch,
    Derivation,
    EnasSearch,
    EvolutionSearch,
    GdasSearch,
    MultiTrialSearch,
    NasnetSearch,
    ParetoSearch,
    RandomSearch,
    RandomSharingSearch,
    ReinforceSearch,
    SearchSpace,
    SinglePathSearch,
    Skeleton,
    StagedSkeleton,
    SupernetSpace,
)
from lightning_nas.search import SupernetSearch
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

CELLS = CellSkeleton(cells=2, channels=4, in_channels=1)
SPACES: dict[str, tuple[SearchSpace, Skeleton]] = {
    "ConvChainSpace": (ConvChainSpace(depths=(2, 3), strides=(1, 2)), ChainSkeleton(channels=4, in_channels=1)),
    "NasnetSpace": (NasnetSpace(blocks=2), CELLS),
    "EnasMicroSpace": (EnasMicroSpace(blocks=2), CELLS),
    "EnasMacroSpace": (EnasMacroSpace(layers=4), MacroSkeleton(channels=4, in_channels=1)),
    "DartsSpace": (DartsSpace(nodes=2), CELLS),
    "NasBench201Space": (NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)),
}
SUPERNET_SPACES: dict[str, tuple[SupernetSpace, Skeleton]] = {
    name: (space, skeleton) for name, (space, skeleton) in SPACES.items() if isinstance(space, SupernetSpace)
}
FEW = Derivation(candidates=4, round_size=2)
SUPERNET_METHODS: dict[str, Callable[..., SupernetSearch]] = {
    "DartsSearch(order=1)": partial(DartsSearch, order=1),
    "DartsSearch(order=2)": partial(DartsSearch, order=2),
    "GdasSearch": GdasSearch,
    "EnasSearch": partial(EnasSearch, derivation=FEW, round_size=2, hidden=8),
    "RandomSharingSearch": partial(RandomSharingSearch, derivation=FEW),
    "SinglePathSearch": partial(SinglePathSearch, population=4, sample=2, candidates=10, batches=1, recalibrate=1),
}
CHILD_METHODS: dict[str, Callable[..., MultiTrialSearch]] = {
    "ReinforceSearch": partial(ReinforceSearch, hidden=8),
    "NasnetSearch": partial(NasnetSearch, hidden=8),
    "EvolutionSearch": partial(EvolutionSearch, population=2, sample=1),
    "RandomSearch": RandomSearch,
    "ParetoSearch": partial(ParetoSearch, population=2),
}


def pairs(methods: Collection[str], spaces: Collection[str]) -> list[Any]:
    """Every combination; all are `long` but as many as it takes for each method and each space to come once."""
    rows, columns = list(methods), list(spaces)
    times = range(max(len(rows), len(columns)))
    often = {(rows[time % len(rows)], columns[time % len(columns)]) for time in times}
    return [
        pytest.param(method, space, marks=[] if (method, space) in often else [pytest.mark.long])
        for method in rows
        for space in columns
    ]
