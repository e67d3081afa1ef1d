"""Small spaces that have a supernet, as searches and as final networks have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lightning_nas import CellSkeleton, Skeleton, SupernetSpace
from lightning_nas.spaces import DartsSpace, EnasMacroSpace, EnasMicroSpace, MacroSkeleton, NasnetSpace
from lightning_nas.testing import SMALL_SPACES


def supernet_case(name: str, **changes: Any) -> tuple[SupernetSpace, Skeleton]:
    """A small space and its skeleton with changes."""
    space, skeleton, _ = SMALL_SPACES[name]
    assert isinstance(space, SupernetSpace)
    return space, replace(skeleton, **changes)


# A new space that has a supernet takes its place here.
FINAL_NETWORKS: dict[str, tuple[SupernetSpace, Skeleton]] = {
    "DartsSpace": supernet_case("DartsSpace", cells=5, channels=6, auxiliary=True),
    "DartsSpace-fixed": supernet_case("DartsSpace-fixed"),
    "DartsSpace-imagenet": supernet_case("DartsSpace-imagenet", cells=4, pool_norm=True),
    "NasBench201Space": supernet_case("NasBench201Space", channels=6, cells_per_stage=2),
    "NasnetSpace": supernet_case("NasnetSpace-auxiliary", cells=5),
    "NasnetSpace-one-cell": supernet_case("NasnetSpace-imagenet", cells=1),
    "EnasMicroSpace": supernet_case("EnasMicroSpace", cells=4, stem="imagenet"),
    "EnasMacroSpace": supernet_case("EnasMacroSpace"),
    "EnasMacroSpace-concatenate": supernet_case("EnasMacroSpace-concatenate", dropout=0.5),
    "EnasMacroSpace-stem": supernet_case("EnasMacroSpace-stem"),
    "BoringSpace": supernet_case("BoringSpace"),
}
# The same with all candidates and blocks of the papers, where small spaces have fewer: for the long tests.
PUBLISHED_NETWORKS: dict[str, tuple[SupernetSpace, Skeleton]] = {
    **FINAL_NETWORKS,
    "DartsSpace-fixed": (DartsSpace(reduction="fixed"), CellSkeleton(cells=3, channels=4)),
    "DartsSpace-imagenet": (DartsSpace(nodes=2), CellSkeleton(cells=4, channels=4, stem="imagenet", pool_norm=True)),
    "NasnetSpace": (NasnetSpace(), CellSkeleton(cells=5, channels=4, auxiliary=True)),
    "NasnetSpace-one-cell": (NasnetSpace(blocks=2), CellSkeleton(cells=1, channels=4)),
    "EnasMicroSpace": (EnasMicroSpace(), CellSkeleton(cells=4, channels=4, stem="imagenet")),
    "EnasMacroSpace": (EnasMacroSpace(layers=7), MacroSkeleton(channels=4)),
    "EnasMacroSpace-concatenate": (
        EnasMacroSpace(layers=6),
        MacroSkeleton(channels=4, merge="concatenate", growth=2, dropout=0.5),
    ),
    "EnasMacroSpace-stem": (EnasMacroSpace(layers=6, first_source=0), MacroSkeleton(channels=3, merge="concatenate")),
}
SEARCH_CASES: dict[str, tuple[SupernetSpace, Skeleton]] = {
    name: supernet_case(name)
    for name in (
        "BoringSpace",
        "NasBench201Space",
        "DartsSpace-fixed",
        "DartsSpace-imagenet",
        "NasnetSpace-imagenet",
        "EnasMacroSpace-concatenate",
    )
}
