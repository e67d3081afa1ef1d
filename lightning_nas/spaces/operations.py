"""Candidate operations by their published names (Zoph et al. 2018; Liu et al. 2019; Dong & Yang 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.edge import Identity
from lightning_nas.fan_out import Plan
from lightning_nas.functional.parity import from_parities, rectified_evens, rectified_parities
from lightning_nas.skeleton import BatchNorm, Norm
from lightning_nas.spaces.shared_norm import shared_norm, uses_batch


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

    @staticmethod
    def shared(operations: Sequence[Zero], x: Tensor) -> Tensor:
        """Zeros, for all edges."""
        return cast(Tensor, operations[0](x))


class Pool(nn.Module):
    """3x3 pooling; padding does not count in averages."""

    def __init__(self, kind: str, place: Place) -> None:
        super().__init__()
        self.kind, self.stride = kind, place.stride
        norm = Norm(affine=False, statistics=place.norm.statistics)
        self.norm: BatchNorm | None = norm.build(place.channels) if place.pool_norm else None

    def forward(self, x: Tensor) -> Tensor:
        pooled = self._pool(x)
        return pooled if self.norm is None else cast(Tensor, self.norm(pooled))

    def _pool(self, x: Tensor) -> Tensor:
        if self.kind == "max":
            return F.max_pool2d(x, 3, self.stride, padding=1)
        return F.avg_pool2d(x, 3, self.stride, padding=1, count_include_pad=False)

    @staticmethod
    def shared(operations: Sequence[Pool], x: Tensor) -> Tensor | None:
        """The pooled state, for all edges; None where their running statistics make them differ."""
        norms = [operation.norm for operation in operations if operation.norm is not None]
        if not norms:
            return operations[0]._pool(x)
        return shared_norm(norms, operations[0]._pool(x)) if uses_batch(norms[0]) else None


class ReluConvNorm(nn.Module):
    """ReLU, convolution, norm. With `bias` the convolution has one where the norm has no shift."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, norm: Norm, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias and not norm.affine)
        self.norm = norm.build(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.prepared(F.relu(x))

    def plan(self, _state: Tensor) -> Plan:
        """ReLU once a state, then the rest."""
        return Plan(F.relu, type(self).prepared)

    def prepared(self, x: Tensor) -> Tensor:
        """The operation on a state that ReLU has passed already."""
        return cast(Tensor, self.norm(self.conv(x)))


class FactorizedReduce(nn.Module):
    """Halves the resolution with two 1x1 convolutions, one of them shifted by a pixel; odd sizes are padded."""

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.norm = norm.build(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.prepared(F.relu(x))

    def plan(self, _state: Tensor) -> Plan:
        """ReLU once a state, then the rest."""
        return Plan(F.relu, type(self).prepared)

    def prepared(self, x: Tensor) -> Tensor:
        """The operation on a state that ReLU has passed already."""
        odd_height, odd_width = x.shape[2] % 2, x.shape[3] % 2
        shifted = F.pad(x, (0, odd_width, 0, odd_height)) if odd_height or odd_width else x
        return cast(Tensor, self.norm(torch.cat([self.conv_1(x), self.conv_2(shifted[:, :, 1:, 1:])], dim=1)))


class SeparableConv(nn.Module):
    """Twice ReLU, depthwise and pointwise convolution, norm; the first carries the stride."""

    def __init__(self, kernel: int, place: Place) -> None:
        super().__init__()
        c, padding = place.channels, kernel // 2
        self.depthwise_1 = nn.Conv2d(c, c, kernel, place.stride, padding, groups=c, bias=False)
        self.pointwise_1 = nn.Conv2d(c, c, 1, bias=False)
        self.norm_1 = place.norm.build(c)
        self.depthwise_2 = nn.Conv2d(c, c, kernel, 1, padding, groups=c, bias=False)
        self.pointwise_2 = nn.Conv2d(c, c, 1, bias=False)
        self.norm_2 = place.norm.build(c)

    def forward(self, x: Tensor) -> Tensor:
        return self.prepared(F.relu(x))

    def plan(self, _state: Tensor) -> Plan:
        """ReLU once a state, then the rest."""
        return Plan(F.relu, type(self).prepared)

    def prepared(self, x: Tensor) -> Tensor:
        """The operation on a state that ReLU has passed already."""
        x = self.norm_1(self.pointwise_1(self.depthwise_1(x)))
        return cast(Tensor, self.norm_2(self.pointwise_2(self.depthwise_2(F.relu(x)))))


class DilatedConv(nn.Module):
    """ReLU, depthwise convolution of dilation 2, pointwise convolution, norm."""

    def __init__(self, kernel: int, place: Place) -> None:
        super().__init__()
        c = place.channels
        self.depthwise = nn.Conv2d(c, c, kernel, place.stride, kernel - 1, dilation=2, groups=c, bias=False)
        self.pointwise = nn.Conv2d(c, c, 1, bias=False)
        self.norm = place.norm.build(c)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.pointwise(self.depthwise(F.relu(x)))))

    def plan(self, state: Tensor) -> Plan:
        """On a CPU, plain convolutions on the images of each parity: kernels for dilated ones are slow there."""
        if state.device.type != "cpu" or state.shape[2] % 2 or state.shape[3] % 2:
            return Plan(F.relu, DilatedConv.prepared)
        # With stride 2 and the even padding, all taps lie on even rows and columns.
        if self.depthwise.stride == (2, 2):
            return Plan(rectified_evens, DilatedConv.on_parities)
        return Plan(rectified_parities, DilatedConv.on_parities, from_parities)

    def prepared(self, x: Tensor) -> Tensor:
        """The operation on a state that ReLU has passed already."""
        return cast(Tensor, self.norm(self.pointwise(self.depthwise(x))))

    def on_parities(self, x: Tensor) -> Tensor:
        """The operation on images whose neighbours are two pixels apart."""
        weight = self.depthwise.weight
        x = F.conv2d(x, weight, None, 1, weight.shape[-1] // 2, groups=len(weight))
        return cast(Tensor, self.norm(self.pointwise(x)))


def _skip(place: Place) -> nn.Module:
    return Identity() if place.stride == 1 else FactorizedReduce(place.channels, place.channels, place.norm)


def _conv(kernel: int, place: Place) -> nn.Module:
    # NAS-Bench-201's authors give these convolutions a bias where the norm has none.
    return ReluConvNorm(place.channels, place.channels, kernel, place.stride, place.norm, bias=True)


CANDIDATES: dict[str, Callable[[Place], nn.Module]] = {
    "none": lambda place: Zero(place.stride),
    "max_pool_3x3": lambda place: Pool("max", place),
    "avg_pool_3x3": lambda place: Pool("avg", place),
    "skip_connect": _skip,
    "sep_conv_3x3": lambda place: SeparableConv(3, place),
    "sep_conv_5x5": lambda place: SeparableConv(5, place),
    "dil_conv_3x3": lambda place: DilatedConv(3, place),
    "dil_conv_5x5": lambda place: DilatedConv(5, place),
    "nor_conv_1x1": lambda place: _conv(1, place),
    "nor_conv_3x3": lambda place: _conv(3, place),
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
