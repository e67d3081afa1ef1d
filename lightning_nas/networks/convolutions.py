"""Candidates that convolve (Zoph et al. 2018; Liu et al. 2019; Dong & Yang 2020), alone and for many edges at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.execution.joint import joint_conv, joint_depthwise, joint_norm, joint_pointwise
from lightning_nas.execution.norm import BatchNorm, Norm
from lightning_nas.execution.protocols import Plan
from lightning_nas.functional.convolution import repeat_channels
from lightning_nas.functional.parity import diagonal_parities, dilated, every_second, from_parities, parities


def _as_it_is(rectified: Tensor, _edges: int) -> Tensor:
    return rectified


def _repeated_parities(rectified: Tensor, edges: int) -> Tensor:
    return repeat_channels(parities(rectified), edges)


def _repeated_evens(rectified: Tensor, edges: int) -> Tensor:
    return repeat_channels(every_second(rectified).contiguous(memory_format=torch.channels_last), edges)


class ReluConvNorm(nn.Module):
    """ReLU, convolution, norm. With `bias` the convolution has one where the norm has no shift."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, norm: Norm, bias: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=bias and not norm.affine)
        self.norm = norm.build(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.rectified(F.relu(x))

    def rectified(self, x: Tensor) -> Tensor:
        """What it gives for a state that ReLU has passed."""
        return cast(Tensor, self.norm(self.conv(x)))

    def plan(self, _state: Tensor) -> Plan:
        """One convolution with the outputs of all edges."""
        return Plan(_as_it_is, ReluConvNorm.together)

    @staticmethod
    def together(operations: Sequence[ReluConvNorm], x: Tensor, scale: Tensor) -> Tensor:
        """What all edges give, times their scales, for a state that ReLU has passed."""
        return joint_norm([o.norm for o in operations], joint_conv([o.conv for o in operations], x), scale)


class FactorizedReduce(nn.Module):
    """Halves the resolution with two 1x1 convolutions, one of them shifted by a pixel; odd sizes are padded."""

    def __init__(self, inputs: int, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(inputs, outputs // 2, 1, stride=2, bias=False)
        self.conv_2 = nn.Conv2d(inputs, outputs - outputs // 2, 1, stride=2, bias=False)
        self.norm = norm.build(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.halved(F.relu(x))

    def halved(self, x: Tensor) -> Tensor:
        """What it gives for a state that ReLU has passed."""
        return cast(Tensor, self.norm(torch.cat([self.conv_1(x), self.conv_2(even_sized(x)[:, :, 1:, 1:])], dim=1)))

    def rectified(self, x: Tensor) -> Tensor:
        """The same by convolutions of stride 1 on the pixels that they read."""
        halves = zip((self.conv_1, self.conv_2), diagonal_parities(even_sized(x)), strict=True)
        return cast(Tensor, self.norm(torch.cat([F.conv2d(pixels, conv.weight) for conv, pixels in halves], dim=1)))

    def plan(self, _state: Tensor) -> Plan:
        """Two convolutions with the outputs of all edges."""
        return Plan(_as_it_is, FactorizedReduce.together)

    @staticmethod
    def together(operations: Sequence[FactorizedReduce], x: Tensor, scale: Tensor) -> Tensor:
        """What all edges give, times their scales, for a state that ReLU has passed."""
        # A 1x1 convolution of stride 2 is one of stride 1 on every second row and column.
        halves = (
            joint_conv([o.conv_1 for o in operations], every_second(x), stride=1),
            joint_conv([o.conv_2 for o in operations], every_second(even_sized(x), first=1), stride=1),
        )
        # Channels are last in memory: there the halves of each edge are put side by side.
        batch, _, height, width = halves[0].shape
        parts = [half.permute(0, 2, 3, 1).reshape(batch, height, width, len(operations), -1) for half in halves]
        joined = torch.cat(parts, dim=4).flatten(3).permute(0, 3, 1, 2)
        return joint_norm([o.norm for o in operations], joined, scale)


def even_sized(x: Tensor) -> Tensor:
    """The images with a row and a column of zeros more where their height and width are odd."""
    odd_height, odd_width = x.shape[2] % 2, x.shape[3] % 2
    return F.pad(x, (0, odd_width, 0, odd_height)) if odd_height or odd_width else x


class SeparableConv(nn.Module):
    """Twice ReLU, depthwise and pointwise convolution, norm; the first carries the stride."""

    def __init__(self, kernel: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        c, padding = channels, kernel // 2
        self.depthwise_1 = nn.Conv2d(c, c, kernel, stride, padding, groups=c, bias=False)
        self.pointwise_1 = nn.Conv2d(c, c, 1, bias=False)
        self.norm_1 = norm.build(c)
        self.depthwise_2 = nn.Conv2d(c, c, kernel, 1, padding, groups=c, bias=False)
        self.pointwise_2 = nn.Conv2d(c, c, 1, bias=False)
        self.norm_2 = norm.build(c)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_1(self.pointwise_1(self.depthwise_1(F.relu(x))))
        return cast(Tensor, self.norm_2(self.pointwise_2(self.depthwise_2(F.relu(x)))))

    def rectified(self, x: Tensor) -> Tensor:
        """What it gives for a state that ReLU has passed, with the convolutions that train fastest."""
        x = self.norm_1(self.pointwise_1(joint_depthwise([self.depthwise_1], x)))
        x = joint_depthwise([self.depthwise_2], F.relu(x, inplace=True))
        return cast(Tensor, self.norm_2(self.pointwise_2(x)))

    def plan(self, _state: Tensor) -> Plan:
        """Grouped convolutions on channels repeated for each edge."""
        return Plan(repeat_channels, SeparableConv.together)

    @staticmethod
    def together(operations: Sequence[SeparableConv], x: Tensor, scale: Tensor) -> Tensor:
        """What all edges give, times their scales, for repeated channels that ReLU has passed."""
        x = joint_depthwise([o.depthwise_1 for o in operations], x)
        x = joint_pointwise([o.pointwise_1 for o in operations], x)
        x = F.relu(joint_norm([o.norm_1 for o in operations], x), inplace=True)
        x = joint_depthwise([o.depthwise_2 for o in operations], x)
        x = joint_pointwise([o.pointwise_2 for o in operations], x)
        return joint_norm([o.norm_2 for o in operations], x, scale)


class RowColumnConv(nn.Module):
    """ReLU, a row and a column in place of a square convolution (1 x K, then K x 1), norm.

    The names are those of the papers, `conv_7x1_1x7`; the order is that of the DARTS authors' code.
    """

    def __init__(self, kernel: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        c, padding = channels, kernel // 2
        self.row = nn.Conv2d(c, c, (1, kernel), (1, stride), (0, padding), bias=False)
        self.column = nn.Conv2d(c, c, (kernel, 1), (stride, 1), (padding, 0), bias=False)
        self.norm = norm.build(c)

    def forward(self, x: Tensor) -> Tensor:
        return self.rectified(F.relu(x))

    def rectified(self, x: Tensor) -> Tensor:
        """What it gives for a state that ReLU has passed."""
        return cast(Tensor, self.norm(self.column(self.row(x))))


class DilatedConv(nn.Module):
    """ReLU, depthwise convolution of dilation 2, pointwise convolution, norm."""

    def __init__(self, kernel: int, channels: int, stride: int, norm: Norm) -> None:
        super().__init__()
        c = channels
        self.depthwise = nn.Conv2d(c, c, kernel, stride, kernel - 1, dilation=2, groups=c, bias=False)
        self.pointwise = nn.Conv2d(c, c, 1, bias=False)
        self.norm = norm.build(c)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.norm(self.pointwise(self.depthwise(F.relu(x)))))

    def rectified(self, x: Tensor) -> Tensor:
        """What it gives for a state that ReLU has passed, with the convolution that trains fastest."""
        return cast(Tensor, self.norm(self.pointwise(dilated(x, self.depthwise.weight, self.depthwise.stride[0]))))

    def plan(self, state: Tensor) -> Plan:
        """On a CPU, plain convolutions on the images of each parity: kernels for dilated ones are slow there."""
        if state.device.type != "cpu" or state.shape[2] % 2 or state.shape[3] % 2:
            return Plan(repeat_channels, DilatedConv.together)
        # With stride 2 and the even padding, all taps lie on even rows and columns.
        if self.depthwise.stride == (2, 2):
            return Plan(_repeated_evens, DilatedConv.on_parities)
        return Plan(_repeated_parities, DilatedConv.on_parities, from_parities)

    @staticmethod
    def together(operations: Sequence[DilatedConv], x: Tensor, scale: Tensor) -> Tensor:
        """What all edges give, times their scales, for repeated channels that ReLU has passed."""
        return DilatedConv._behind(operations, joint_depthwise([o.depthwise for o in operations], x), scale)

    @staticmethod
    def on_parities(operations: Sequence[DilatedConv], x: Tensor, scale: Tensor) -> Tensor:
        """The same on images whose neighbours are two pixels apart."""
        x = joint_depthwise([o.depthwise for o in operations], x, plain=True)
        return DilatedConv._behind(operations, x, scale)

    @staticmethod
    def _behind(operations: Sequence[DilatedConv], x: Tensor, scale: Tensor) -> Tensor:
        x = joint_pointwise([o.pointwise for o in operations], x)
        norms: list[BatchNorm] = [o.norm for o in operations]
        return joint_norm(norms, x, scale)
