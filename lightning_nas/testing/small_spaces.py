"""Every space of the package, each with a skeleton that a test runs in moments."""

from __future__ import annotations

from typing import NamedTuple

from lightning_nas.networks.skeleton import CellSkeleton, Skeleton, StagedSkeleton
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
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.testing.boring import BoringSkeleton, BoringSpace


class SmallSpace(NamedTuple):
    """A space and what to run its networks on.

    Args:
        space: the space.
        skeleton: a skeleton of few channels and cells.
        image_size: height and width of images, in pixels, that the skeleton takes in training too.
    """

    space: SearchSpace
    skeleton: Skeleton
    image_size: int = 12


SMALL_SPACES: dict[str, SmallSpace] = {
    "BoringSpace": SmallSpace(BoringSpace(), BoringSkeleton()),
    "DartsSpace": SmallSpace(DartsSpace(), CellSkeleton(cells=3, channels=4)),
    "DartsSpace-fixed": SmallSpace(DartsSpace(nodes=3, reduction="fixed"), CellSkeleton(cells=3, channels=4)),
    "DartsSpace-imagenet": SmallSpace(
        DartsSpace(nodes=2, candidates=("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")),
        CellSkeleton(cells=3, channels=4, in_channels=1, classes=3, stem="imagenet"),
        image_size=34,
    ),
    "NasBench201Space": SmallSpace(NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1)),
    "NasBench201Space-tiny": SmallSpace(
        NasBench201Space(nodes=3), StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)
    ),
    "NasnetSpace": SmallSpace(NasnetSpace(blocks=1), CellSkeleton(cells=3, channels=4)),
    "NasnetSpace-imagenet": SmallSpace(
        NasnetSpace(blocks=2, candidates=("max_pool_5x5", "sep_conv_3x3", "conv_3x1_1x3")),
        CellSkeleton(cells=3, channels=4, in_channels=1, classes=3, stem="imagenet"),
        image_size=66,
    ),
    "NasnetSpace-auxiliary": SmallSpace(
        NasnetSpace(blocks=2, candidates=("skip_connect", "avg_pool_3x3", "dil_conv_3x3")),
        CellSkeleton(cells=3, channels=4, auxiliary=True),
        image_size=32,
    ),
    "EnasMicroSpace": SmallSpace(EnasMicroSpace(blocks=2), CellSkeleton(cells=3, channels=4)),
    "EnasMacroSpace": SmallSpace(EnasMacroSpace(layers=4), MacroSkeleton(channels=4)),
    "EnasMacroSpace-concatenate": SmallSpace(
        EnasMacroSpace(layers=6, candidates=("branch_conv_3x3", "branch_max_pool_3x3", "skip_connect")),
        MacroSkeleton(channels=4, merge="concatenate", growth=2),
    ),
    "EnasMacroSpace-stem": SmallSpace(
        EnasMacroSpace(layers=5, candidates=("branch_sep_conv_3x3", "branch_avg_pool_3x3"), first_source=0),
        MacroSkeleton(channels=3, in_channels=1, classes=3, merge="concatenate"),
    ),
    "EnasMacroSpace-tiny": SmallSpace(
        EnasMacroSpace(layers=2, candidates=("branch_sep_conv_5x5", "none")),
        MacroSkeleton(channels=2, in_channels=1, classes=3),
    ),
    "ConvChainSpace": SmallSpace(ConvChainSpace(), ChainSkeleton(channels=4)),
    "ConvChainSpace-tiny": SmallSpace(
        ConvChainSpace(depths=(1, 3), heights=(3,), widths=(1, 3), filters=(24, 48), strides=(1, 2)),
        ChainSkeleton(channels=8, in_channels=1, classes=3),
    ),
}
"""By the name of the space and what is special; each class of the package is here at least once."""
