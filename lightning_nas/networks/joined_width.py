"""Layers over concatenated states whose number depends on the genotype: one slice of weights a state.

How many states a cell gives can depend on the genotype (its loose ends; Zoph et al. 2018). With a weight for each, the
weights of a child are among those of the supernet, with equal shapes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lightning_nas.execution.norm import Norm
from lightning_nas.functional.parity import diagonal_parities
from lightning_nas.networks.convolutions import even_sized


class JoinedWidth(int):
    """A number of channels that knows the states it consists of.

    Args:
        states: which they are, in the order of the channels.
        width: channels of each.

    Example:
        >>> JoinedWidth((3, 5), 16)
        32
    """

    states: tuple[int, ...]
    width: int

    def __new__(cls, states: tuple[int, ...], width: int) -> JoinedWidth:
        self = super().__new__(cls, len(states) * width)
        self.states, self.width = states, width
        return self

    def __getnewargs__(self) -> tuple[tuple[int, ...], int]:  # type: ignore[override]
        return self.states, self.width  # of copies and pickles


class Joined(nn.Module):
    """A weight for each state, `weight.<state>`, drawn like one weight of the whole width."""

    def __init__(self, inputs: JoinedWidth, outputs: int, kernel: tuple[int, ...]) -> None:
        super().__init__()
        self.bound = int(inputs) ** -0.5
        shape = (outputs, inputs.width, *kernel)
        self.weight = nn.ParameterDict({str(state): self._drawn(shape) for state in inputs.states})

    def _drawn(self, shape: tuple[int, ...]) -> nn.Parameter:
        return nn.Parameter(torch.empty(shape).uniform_(-self.bound, self.bound))

    def _whole(self, states: Sequence[int] | None = None) -> Tensor:
        weights = self.weight.values() if states is None else [self.weight[str(state)] for state in states]
        return torch.cat(list(weights), dim=1)


class JoinedConv(Joined):
    """1x1 convolution of states side by side, without bias."""

    def __init__(self, inputs: JoinedWidth, outputs: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, (1, 1))
        self.stride = stride

    def forward(self, x: Tensor, states: Sequence[int] | None = None) -> Tensor:
        """The convolution of the states that lie in x, in this order; None: all."""
        return F.conv2d(x, self._whole(states), stride=self.stride)

    def plain(self, x: Tensor) -> Tensor:
        """The convolution without its stride."""
        return F.conv2d(x, self._whole())


class JoinedLinear(Joined):
    """Linear map of states side by side, with bias."""

    def __init__(self, inputs: JoinedWidth, outputs: int) -> None:
        super().__init__(inputs, outputs, ())
        self.bias = self._drawn((outputs,))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self._whole(), self.bias)


def state_weights(network: nn.Module, reader: str) -> Iterator[tuple[int, str, float]]:
    """(state, name of the weights, share of the state) for what a module of the network reads side by side."""
    for name, module in network.get_submodule(reader).named_modules():
        if isinstance(module, Joined):
            for state in module.weight:
                yield int(state), ".".join(filter(None, (reader, name, "weight"))), 1 / len(module.weight)


def pointwise_conv(inputs: int, outputs: int) -> nn.Module:
    """1x1 convolution without bias, with a weight for each state where the inputs are states side by side."""
    return JoinedConv(inputs, outputs) if isinstance(inputs, JoinedWidth) else nn.Conv2d(inputs, outputs, 1, bias=False)


def linear(inputs: int, outputs: int) -> nn.Module:
    """Linear map, with a weight for each state where the inputs are states side by side."""
    return JoinedLinear(inputs, outputs) if isinstance(inputs, JoinedWidth) else nn.Linear(inputs, outputs)


class JoinedReluConvNorm(nn.Module):
    """ReLU, 1x1 convolution, norm."""

    def __init__(self, inputs: JoinedWidth, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.conv = JoinedConv(inputs, outputs)
        self.norm = norm.build(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.rectified(F.relu(x))

    def rectified(self, x: Tensor) -> Tensor:
        """What it gives for states that ReLU has passed."""
        return cast(Tensor, self.norm(self.conv(x)))


class JoinedFactorizedReduce(nn.Module):
    """`FactorizedReduce` of states side by side."""

    def __init__(self, inputs: JoinedWidth, outputs: int, norm: Norm) -> None:
        super().__init__()
        self.conv_1 = JoinedConv(inputs, outputs // 2, stride=2)
        self.conv_2 = JoinedConv(inputs, outputs - outputs // 2, stride=2)
        self.norm = norm.build(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return cast(Tensor, self.norm(torch.cat([self.conv_1(x), self.conv_2(even_sized(x)[:, :, 1:, 1:])], dim=1)))

    def rectified(self, x: Tensor) -> Tensor:
        """The same by convolutions of stride 1 on the pixels that they read, for states that ReLU has passed."""
        even, odd = diagonal_parities(even_sized(x))
        return cast(Tensor, self.norm(torch.cat([self.conv_1.plain(even), self.conv_2.plain(odd)], dim=1)))
