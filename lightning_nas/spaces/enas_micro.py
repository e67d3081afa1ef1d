"""ENAS's micro space: cells as in NASNet, of five blocks with five operations.

Source: Pham, Guan, Zoph, Le & Dean, "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nas.norm import Norm
from lightning_nas.skeleton import CellSkeleton
from lightning_nas.spaces.nasnet import NasnetSpace

ENAS_MICRO_CANDIDATES = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")


class EnasMicroSpace(NasnetSpace):
    """`NasnetSpace` with the five operations of ENAS, in the order of the authors' code.

    What differs from that code: in its search a cell ends with ReLU, a 1x1 convolution to C channels with one weight
    for each state, and a norm, and later cells read that as it is. Here a cell gives its loose ends, as in the authors'
    final network, and what reads it, also ReLU, a 1x1 convolution and a norm, has one weight for each state: the same
    family of functions, with weights of its own for each of the two readers. Their code counts an input of the cell
    that no block reads as a loose end; here only blocks are.

    Args:
        blocks: of a cell.
        candidates: operations in the order of the architecture parameters; `none` cannot be one.

    Raises:
        ValueError: no block, an unknown candidate, or `none`.

    Example:
        >>> space = EnasMicroSpace()
        >>> space.groups["normal"].shape, space.skeleton().cells, space.skeleton(channels=36, cells=17).reductions
        ((40, 5), 8, (5, 11))
    """

    def __init__(self, blocks: int = 5, candidates: Sequence[str] = ENAS_MICRO_CANDIDATES) -> None:
        super().__init__(blocks, candidates)

    def skeleton(self, **sizes: object) -> CellSkeleton:
        """That of the authors' search: 6 cells and 2 reductions, 20 channels, all norms with scale and shift."""
        published = {"cells": 8, "channels": 20, "norm": Norm(), "pool_norm": False}
        return CellSkeleton(**{**published, **sizes})  # type: ignore[arg-type]
