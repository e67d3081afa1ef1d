"""The branches of ENAS's macro space (Pham et al. 2018): a 1x1 convolution before what gives a branch its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.execution.joint import shared_norm, uses_batch
from lightning_nas.execution.norm import BatchNorm, Norm
from lightning_nas.execution.reference import Identity
from lightning_nas.networks.convolutions import (
    DilatedConv,
    FactorizedReduce,
    ReluConvNorm,
    RowColumnConv,
    SeparableConv,
)


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


@dataclass(frozen=True)
class Place:
    """Where a candidate stands.

    Args:
        channels: of the input and of the output.
        stride: 1, or 2 on the edges that leave the inputs of a reduction cell.
        norm: how norms are built.
        pool_norm: whether an affine-free norm stands behind pools.
    """

    channels: int
    stride: int
    norm: Norm
    pool_norm: bool = False


class Zero(nn.Module):
    """No connection: zeros of the output's shape, kept in the graph so that every parameter has a gradient."""

    is_zero = True

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0.0

    def extra_repr(self) -> str:
        return f"stride={self.stride}"

    @staticmethod
    def shared(operations: Sequence[Zero], x: Tensor) -> Tensor:
        """Zeros, for all edges."""
        return cast(Tensor, operations[0](x))


class Pool(nn.Module):
    """Pooling, 3x3 if nothing else is said; padding does not count in averages."""

    def __init__(self, kind: str, place: Place, kernel: int = 3) -> None:
        super().__init__()
        self.kind, self.kernel, self.stride = kind, kernel, place.stride
        norm = replace(place.norm, affine=False)
        self.norm: BatchNorm | None = norm.build(place.channels) if place.pool_norm else None

    def forward(self, x: Tensor) -> Tensor:
        pooled = self._pool(x)
        return pooled if self.norm is None else cast(Tensor, self.norm(pooled))

    def extra_repr(self) -> str:
        return f"{self.kind}, kernel={self.kernel}, stride={self.stride}"

    def _pool(self, x: Tensor) -> Tensor:
        padding = self.kernel // 2
        if self.kind == "max":
            return F.max_pool2d(x, self.kernel, self.stride, padding)
        return F.avg_pool2d(x, self.kernel, self.stride, padding, count_include_pad=False)

    @staticmethod
    def shared(operations: Sequence[Pool], x: Tensor) -> Tensor | None:
        """The pooled state, for all edges; None where their running statistics make them differ."""
        norms = [operation.norm for operation in operations if operation.norm is not None]
        if not norms:
            return operations[0]._pool(x)
        return shared_norm(norms, operations[0]._pool(x)) if uses_batch(norms[0]) else None


def _skip(place: Place) -> nn.Module:
    return Identity() if place.stride == 1 else FactorizedReduce(place.channels, place.channels, place.norm)


def _separable(kernel: int, place: Place) -> nn.Module:
    return SeparableConv(kernel, place.channels, place.stride, place.norm)


def _row_column(kernel: int, place: Place) -> nn.Module:
    return RowColumnConv(kernel, place.channels, place.stride, place.norm)


def _dilated(kernel: int, place: Place) -> nn.Module:
    return DilatedConv(kernel, place.channels, place.stride, place.norm)


def _conv(kernel: int, place: Place) -> nn.Module:
    # NAS-Bench-201's authors give these convolutions a bias where the norm has none.
    return ReluConvNorm(place.channels, place.channels, kernel, place.stride, place.norm, bias=True)


def _conv_branch(kernel: int, place: Place, separable: bool) -> nn.Module:
    return ConvBranch(kernel, place.channels, place.stride, place.norm, separable)


def _pool_branch(kind: str, place: Place) -> nn.Module:
    return PoolBranch(Pool(kind, place), place.channels, place.norm)


CANDIDATES: dict[str, Callable[[Place], nn.Module]] = {
    "none": lambda place: Zero(place.stride),
    "max_pool_3x3": lambda place: Pool("max", place),
    "max_pool_5x5": lambda place: Pool("max", place, 5),
    "max_pool_7x7": lambda place: Pool("max", place, 7),
    "avg_pool_3x3": lambda place: Pool("avg", place),
    "skip_connect": _skip,
    "sep_conv_3x3": lambda place: _separable(3, place),
    "sep_conv_5x5": lambda place: _separable(5, place),
    "sep_conv_7x7": lambda place: _separable(7, place),
    "dil_conv_3x3": lambda place: _dilated(3, place),
    "dil_conv_5x5": lambda place: _dilated(5, place),
    "nor_conv_1x1": lambda place: _conv(1, place),
    "nor_conv_3x3": lambda place: _conv(3, place),
    "conv_3x1_1x3": lambda place: _row_column(3, place),
    "conv_7x1_1x7": lambda place: _row_column(7, place),
    "branch_conv_3x3": lambda place: _conv_branch(3, place, separable=False),
    "branch_sep_conv_3x3": lambda place: _conv_branch(3, place, separable=True),
    "branch_conv_5x5": lambda place: _conv_branch(5, place, separable=False),
    "branch_sep_conv_5x5": lambda place: _conv_branch(5, place, separable=True),
    "branch_avg_pool_3x3": lambda place: _pool_branch("avg", place),
    "branch_max_pool_3x3": lambda place: _pool_branch("max", place),
}


def register_candidate(name: str, build: Callable[[Place], nn.Module]) -> None:
    """Add a candidate of your own, to be named in a space's `candidates`.

    Args:
        name: free name without dots.
        build: makes the module for a place; it maps (B, C, H, W) to (B, C, ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: the name is taken by another builder, or holds a dot.

    Example:
        >>> register_candidate("relu", lambda place: nn.ReLU())
    """
    if "." in name or CANDIDATES.get(name, build) is not build:
        raise ValueError(f"register_candidate(name={name!r}): the name is taken or holds a dot; choose another.")
    CANDIDATES[name] = build


def check_candidates(candidates: tuple[str, ...]) -> tuple[str, ...]:
    """The candidates themselves, if all are known and different.

    Raises:
        ValueError: one is unknown or named twice, or there are none.
    """
    for name in candidates:
        if name not in CANDIDATES:
            raise ValueError(
                f"candidates: {name!r} is unknown. Known are {', '.join(CANDIDATES)}; "
                "add your own with lightning_nas.spaces.register_candidate."
            )
    if not candidates or len(set(candidates)) != len(candidates):
        raise ValueError(f"candidates={list(candidates)}: name at least one, and each once.")
    return candidates
