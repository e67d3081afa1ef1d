"""The contracts of spaces, for every space that the package has."""

from __future__ import annotations

import pytest

import lightning_nas.spaces
import lightning_nas.testing
from lightning_nas import CellSkeleton, SearchSpace, Skeleton, StagedSkeleton, SupernetSpace
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
from lightning_nas.testing import BoringSkeleton, BoringSpace, SpaceContract, SupernetSpaceContract

# What each space is tested with; a new space takes its place here.
CASES: dict[str, tuple[SearchSpace, Skeleton]] = {
    "DartsSpace": (DartsSpace(), CellSkeleton(cells=3, channels=4)),
    "DartsSpace-fixed": (DartsSpace(reduction="fixed"), CellSkeleton(cells=3, channels=4)),
    "DartsSpace-tiny": (
        DartsSpace(nodes=2, candidates=("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")),
        CellSkeleton(cells=3, channels=4, in_channels=1, classes=3, stem="imagenet"),
    ),
    "NasBench201Space": (NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1)),
    "NasBench201Space-tiny": (NasBench201Space(nodes=3), StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)),
    "NasnetSpace": (NasnetSpace(blocks=1), CellSkeleton(cells=3, channels=4)),
    "NasnetSpace-tiny": (
        NasnetSpace(blocks=2, candidates=("max_pool_5x5", "sep_conv_3x3", "conv_3x1_1x3")),
        CellSkeleton(cells=3, channels=4, in_channels=1, classes=3, stem="imagenet"),
    ),
    "NasnetSpace-auxiliary": (
        NasnetSpace(blocks=3, candidates=("skip_connect", "avg_pool_3x3", "dil_conv_3x3")),
        CellSkeleton(cells=3, channels=4, auxiliary=True),
    ),
    "EnasMicroSpace": (EnasMicroSpace(blocks=2), CellSkeleton(cells=3, channels=4)),
    "EnasMacroSpace": (EnasMacroSpace(layers=4), MacroSkeleton(channels=4)),
    "EnasMacroSpace-concatenate": (
        EnasMacroSpace(layers=6, candidates=("branch_conv_3x3", "branch_max_pool_3x3", "skip_connect")),
        MacroSkeleton(channels=4, merge="concatenate", growth=2),
    ),
    "EnasMacroSpace-stem": (
        EnasMacroSpace(layers=5, candidates=("branch_sep_conv_3x3", "branch_avg_pool_3x3"), first_source=0),
        MacroSkeleton(channels=3, in_channels=1, classes=3, merge="concatenate"),
    ),
    "EnasMacroSpace-tiny": (
        EnasMacroSpace(layers=2, candidates=("branch_sep_conv_5x5", "none")),
        MacroSkeleton(channels=2, in_channels=1, classes=3),
    ),
    "ConvChainSpace": (ConvChainSpace(), ChainSkeleton(channels=4)),
    "ConvChainSpace-tiny": (
        ConvChainSpace(depths=(1, 3), heights=(3,), widths=(1, 3), filters=(24, 48), strides=(1, 2)),
        ChainSkeleton(channels=8, in_channels=1, classes=3, checkpoint_cells=True),
    ),
    "BoringSpace": (BoringSpace(), BoringSkeleton()),
}
SIZES = {"DartsSpace-tiny": 34, "NasnetSpace-tiny": 66, "NasnetSpace-auxiliary": 32}
PUBLIC = [getattr(lightning_nas.spaces, name) for name in lightning_nas.spaces.__all__]
SPACES = [item for item in PUBLIC if isinstance(item, type) and issubclass(item, SearchSpace)]


def suite(name: str) -> type:
    """The contract as a test class for one case."""
    space, skeleton = CASES[name]
    size = SIZES.get(name, 12)
    members = {
        "image_shape": (skeleton.in_channels, size, size),
        "space": lambda self: type(space)(**space.recorded()),
        "skeleton": lambda self: skeleton,
    }
    base = SupernetSpaceContract if isinstance(space, SupernetSpace) else SpaceContract
    return type(f"Test{name.replace('-', '_')}", (base,), members)


for _name in CASES:
    globals()[f"Test{_name.replace('-', '_')}"] = suite(_name)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.__name__)
def test_every_space_has_a_suite(space: type[SearchSpace]) -> None:
    tested = {type(case) for case, _ in CASES.values()}
    assert space in tested, f"Give {space.__name__} and a small skeleton a place in CASES: its contract is untested."


def test_contracts_are_not_collected_by_themselves() -> None:
    contracts = [getattr(lightning_nas.testing, name) for name in lightning_nas.testing.__all__]
    assert not [contract for contract in contracts if contract.__name__.startswith("Test")]
