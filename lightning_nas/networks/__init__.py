"""Networks: skeletons, candidates, cells, and one class a space for supernet and child."""

from lightning_nas.networks.cells import EdgeCell, cifar_stem, on_device, run_cell, weights_for
from lightning_nas.networks.operations import CANDIDATES, Place, register_candidate
from lightning_nas.networks.skeleton import (
    CellSkeleton,
    ChainSkeleton,
    MacroSkeleton,
    NetworkOutput,
    Skeleton,
    StagedSkeleton,
)

__all__ = [
    "CANDIDATES",
    "CellSkeleton",
    "ChainSkeleton",
    "EdgeCell",
    "MacroSkeleton",
    "NetworkOutput",
    "Place",
    "Skeleton",
    "StagedSkeleton",
    "cifar_stem",
    "on_device",
    "register_candidate",
    "run_cell",
    "weights_for",
]
