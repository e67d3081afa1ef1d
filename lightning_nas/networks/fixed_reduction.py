"""The reduction cell that GDAS fixes instead of searching it.

Source: Dong & Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import override

from lightning_nas.architecture.edges import Architecture
from lightning_nas.execution.norm import Norm
from lightning_nas.execution.reference import DropPath
from lightning_nas.networks.two_input_cells import TwoInputCell, preprocess

_GROUPS = 8


class FactorizedConv(nn.Module):
    """ReLU, grouped 1x3 and 3x1 convolutions of stride 2, norm, ReLU, pointwise convolution, norm."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        # Like the authors': a bias where the norm has no shift.
        bias = not norm.affine
        self.conv_1 = nn.Conv2d(channels, channels, (1, 3), (1, 2), (0, 1), groups=_GROUPS, bias=bias)
        self.conv_2 = nn.Conv2d(channels, channels, (3, 1), (2, 1), (1, 0), groups=_GROUPS, bias=bias)
        self.norm_1 = norm.build(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=bias)
        self.norm_2 = norm.build(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_1(self.conv_2(self.conv_1(F.relu(x))))
        return cast(Tensor, self.norm_2(self.pointwise(F.relu(x))))


class PoolNorm(nn.Module):
    """3x3 max pooling of stride 2, norm."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.norm = norm.build(channels)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.norm(F.max_pool2d(x, 3, stride=2, padding=1)))


class FixedReductionCell(TwoInputCell):
    """A factorized convolution and a max pool of each input, concatenated.

    Raises:
        ValueError: the width is no multiple of 8, the number of groups.
    """

    takes_prepared = True

    def __init__(self, before_last: int, last: int, channels: int, reduced: bool, norm: Norm) -> None:
        super().__init__()
        if channels % _GROUPS:
            raise ValueError(
                f"The fixed reduction cell has {channels} channels; its grouped convolutions need a multiple of "
                f"{_GROUPS}: choose `channels` of the skeleton so that twice it is one."
            )
        self.preprocess0 = preprocess(before_last, channels, reduced, norm)
        self.preprocess1 = preprocess(last, channels, False, norm)
        self.branches = nn.ModuleList(FactorizedConv(channels, norm) for _ in range(2))
        self.pools = nn.ModuleList(PoolNorm(channels, norm) for _ in range(2))
        self.drop_path = DropPath()
        self.outputs = 4 * channels

    @override
    def forward(
        self, before_last: Tensor, last: Tensor, architecture: Architecture | None, prepared: bool = False
    ) -> Tensor:
        if not prepared:
            before_last, last = self.preprocess0(before_last), self.preprocess1(last)
        inputs = (before_last, last)
        paths = [*self.branches, *self.pools]
        return torch.cat([self.drop_path(path(x)) for path, x in zip(paths, inputs * 2, strict=True)], dim=1)
