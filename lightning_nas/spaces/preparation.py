"""What cells with two inputs make of the states that they read, computed when a state is there, for all its readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.spaces.convolutions import ReluConvNorm
from lightning_nas.spaces.joint import joint_conv, joint_norm

Reader = tuple[int, int]
"""Index of a cell and which of its inputs, 0 or 1."""


class Preparation:
    """Inputs of cells, as their `preprocess0` and `preprocess1` would give them.

    Two cells read what a cell gives. Both begin with ReLU, which is computed once, and where both go on with a 1x1
    convolution and a norm, one convolution and one norm serve both: the wide state is read once, and its gradient
    is not added up.

    Args:
        cells: of the network, with `preprocess0` and `preprocess1`, all of which have `rectified`.
    """

    def __init__(self, cells: Sequence[nn.Module]) -> None:
        self.cells = cells
        self._ready: dict[Reader, Tensor] = {}

    def give(self, state: Tensor, readers: Sequence[Reader]) -> None:
        """Prepare a state for those readers that exist."""
        readers = [reader for reader in readers if reader[0] < len(self.cells)]
        modules = [getattr(self.cells[index], f"preprocess{which}") for index, which in readers]
        if modules:
            self._ready.update(zip(readers, _read(F.relu(state, inplace=True), modules), strict=True))

    def take(self, index: int) -> tuple[Tensor, Tensor]:
        """Both inputs of a cell, each to be taken once."""
        return self._ready.pop((index, 0)), self._ready.pop((index, 1))


def _read(x: Tensor, modules: Sequence[Any]) -> list[Tensor]:
    """What the modules give for a state that ReLU has passed."""
    alike = [module for module in modules if type(module) is ReluConvNorm]
    if len(alike) < 2 or len({module.conv.out_channels for module in alike}) > 1:
        return [cast(Tensor, module.rectified(x)) for module in modules]
    joint = joint_norm([module.norm for module in alike], joint_conv([module.conv for module in alike], x))
    parts = iter(joint.chunk(len(alike), 1))
    return [next(parts) if module in alike else cast(Tensor, module.rectified(x)) for module in modules]
