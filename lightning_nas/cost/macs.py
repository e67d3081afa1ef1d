"""Multiply-accumulates: the arithmetic of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_nas.cost.attribution import Tally
from lightning_nas.cost.images import ImageSize, check_images, height_and_width
from lightning_nas.cost.network import named_calls, on_meta
from lightning_nas.cost.tallied import TalliedCost
from lightning_nas.edge import Architecture
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace

aten = torch.ops.aten


class Macs(TalliedCost):
    """Multiply-accumulates of one image: those of convolutions, linear layers and other matrix products.

    They are half of what `torch.utils.flop_counter` counts. Norms, activations, pools and additions are not counted, as
    in the papers: norms are a part of the convolution before them in use, and the others do not multiply.

    Args:
        image_size: height and width of the images: 32 for CIFAR, 224 for ImageNet; or the pair of them.
        biases: count the addition of a bias too, one for each output, as NAS-Bench-201 and thop do.

    Raises:
        ValueError: the size is not positive.

    Example:
        >>> from lightning_nas.spaces import NasBench201Space
        >>> space = NasBench201Space()
        >>> resnet = space.parse("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|")
        >>> Macs(biases=True)(space, resnet, space.skeleton())
        78561930.0
    """

    name = "macs"

    def __init__(self, image_size: ImageSize = 32, biases: bool = False) -> None:
        super().__init__()
        self.size = height_and_width("Macs", image_size)
        self.biases = biases

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:
        check_images("Macs", self.size, space, skeleton)

    def tally(self, network: nn.Module, skeleton: Skeleton, architecture: Architecture | None) -> Tally:
        images = on_meta(1, skeleton.in_channels, *self.size)
        with torch.no_grad(), named_calls(network) as running, _Counter(running, self.biases) as counter:
            network(images, *([] if architecture is None else [architecture]))
        return counter.tally


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is multiplied, under the names of the modules that do it."""

    def __init__(self, running: Sequence[str], biases: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running, self.biases = running, biases
        self.tally: dict[str, float] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        count = _COUNTS.get(func.overloadpacket)
        if count is not None:
            products, biases = count(output, *args)
            self._add("weight", products)
            if self.biases:
                self._add("bias", biases)
        return output

    def _add(self, kind: str, count: int) -> None:
        name = ".".join(filter(None, (self.running[-1] if self.running else "", kind)))
        self.tally[name] = self.tally.get(name, 0.0) + count


def _convolution(
    output: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    *_: Any,
) -> tuple[int, int]:
    places = x if transposed else output
    return places.numel() * math.prod(weight.shape[1:]), 0 if bias is None else output.numel()


def _product(output: Tensor, one: Tensor, _other: Tensor, *_: Any) -> tuple[int, int]:
    return output.numel() * one.shape[-1], 0


def _product_with_bias(output: Tensor, _bias: Tensor, one: Tensor, _other: Tensor, *_: Any) -> tuple[int, int]:
    return output.numel() * one.shape[-1], output.numel()


_COUNTS: dict[Any, Callable[..., tuple[int, int]]] = {
    aten.convolution: _convolution,
    aten.mm: _product,
    aten.bmm: _product,
    aten.addmm: _product_with_bias,
    aten.baddbmm: _product_with_bias,
}
