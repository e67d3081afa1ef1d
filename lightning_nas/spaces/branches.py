"""The branches of ENAS's macro space (Pham et al. 2018): a 1x1 convolution before what gives a branch its name."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.norm import Norm


class _Branch(nn.Module):
    """1x1 convolution, norm, ReLU."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm_1 = norm.build(channels)

    def _begin(self, x: Tensor) -> Tensor:
        return F.relu(cast(Tensor, self.norm_1(self.conv_1(x))))


class ConvBranch(_Branch):
    """1x1 convolution, norm, ReLU; convolution, norm, ReLU. The second convolution carries the stride.

    Args:
        kernel: size of the second convolution.
        channels: of the input and of the output.
        stride: 1 or 2.
        norm: how norms are built.
        separable: the second convolution is a depthwise and a pointwise one.
    """

    def __init__(self, kernel: int, channels: int, stride: int, norm: Norm, separable: bool = False) -> None:
        super().__init__(channels, norm)
        groups = channels if separable else 1
        self.conv_2 = nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.pointwise_2 = nn.Conv2d(channels, channels, 1, bias=False) if separable else None
        self.norm_2 = norm.build(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_2(self._begin(x))
        if self.pointwise_2 is not None:
            x = self.pointwise_2(x)
        return F.relu(cast(Tensor, self.norm_2(x)))


class PoolBranch(_Branch):
    """1x1 convolution, norm, ReLU; a pool, which carries the stride."""

    def __init__(self, pool: nn.Module, channels: int, norm: Norm) -> None:
        super().__init__(channels, norm)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.pool(self._begin(x)))
