"""Costs that are counted without running: parameters, multiply-accumulates, peak activation memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_nas.architecture.edges import Architecture
from lightning_nas.costs.additive import CountedCost, Tally
from lightning_nas.costs.networks import (
    BuiltCost,
    ImageSize,
    check_images,
    check_positive,
    height_and_width,
    named_calls,
    on_meta,
)
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.spaces.base import SearchSpace


class Parameters(CountedCost):
    """Trainable parameters of a network.

    Args:
        auxiliary: count the auxiliary head too, if the skeleton has one. It is there for training only, and the
            papers' sizes are without it.

    Example:
        >>> from lightning_nas import CellSkeleton
        >>> from lightning_nas.spaces import published
        >>> space, genotype = published("DARTS_V2")
        >>> Parameters()(space, genotype, CellSkeleton(cells=20, channels=36, auxiliary=True))
        3349342.0
    """

    name = "params"

    def __init__(self, auxiliary: bool = False) -> None:
        super().__init__()
        self.auxiliary = auxiliary

    def counted(self, skeleton: Skeleton) -> Skeleton:
        return skeleton if self.auxiliary else super().counted(skeleton)

    def tally(self, network: nn.Module, skeleton: Skeleton, architecture: Architecture | None) -> Tally:  # noqa: ARG002
        return {name: float(weight.numel()) for name, weight in network.named_parameters() if weight.requires_grad}


aten = torch.ops.aten


class Macs(CountedCost):
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


MEGABYTE = 1e6


class PeakActivationMemory(BuiltCost):
    """The most memory that images and activations take at one moment of an inference, in MB of 1,000,000 bytes.

    The network runs on the meta device, where tensors have shapes and no numbers, in float32 and as PyTorch runs it
    without a compiler: the result of each operation is a tensor of its own, which lives until Python lets go of it.
    Counted are the batch, activations, and what operations return besides, such as the positions of max pooling.
    Weights are not counted, nor what a kernel takes for itself while it runs, nor the copy of the batch that networks
    make on a CPU for its layout.

    Args:
        batch_size: images in the batch.
        image_size: height and width of the images, or one number for both.

    Raises:
        ValueError: a number is not positive.

    Example:
        >>> from lightning_nas import CellSkeleton
        >>> from lightning_nas.spaces import published
        >>> space, genotype = published("DARTS_V2")
        >>> round(PeakActivationMemory()(space, genotype, CellSkeleton(cells=20, channels=36)), 2)
        2.67
    """

    name = "activation_mb"

    def __init__(self, batch_size: int = 1, image_size: ImageSize = 32) -> None:
        super().__init__()
        check_positive("PeakActivationMemory", batch_size=batch_size)
        self.batch_size = batch_size
        self.size = height_and_width("PeakActivationMemory", image_size)

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:
        check_images("PeakActivationMemory", self.size, space, skeleton)

    def of(self, network: nn.Module, skeleton: Skeleton) -> float:
        with torch.no_grad(), LiveMemory() as memory:
            network(on_meta(self.batch_size, skeleton.in_channels, *self.size))
        return memory.peak / MEGABYTE


class LiveMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows the memory of tensors that are made within it; `peak` is in bytes.

    A storage is counted once, however many views it has, until the last tensor on it is gone.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live: dict[StorageWeakRef, int] = {}
        self._foreign: set[StorageWeakRef] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        # What was there before, such as weights, is not counted, and neither are views of it.
        self._foreign |= {ref for ref in _storages((args, kwargs)) if ref not in self._live}
        output = func(*args, **(kwargs or {}))
        self._live = {ref: size for ref, size in self._live.items() if not ref.expired()}  # type: ignore[no-untyped-call]
        self._live |= {ref: size for ref, size in _storages(output).items() if ref not in self._foreign}
        self.peak = max(self.peak, sum(self._live.values()))
        return output


def _storages(values: Any) -> dict[StorageWeakRef, int]:
    """Bytes of the storages of all tensors in nested containers."""
    storages = (value.untyped_storage() for value in tree_leaves(values) if isinstance(value, Tensor))
    return {StorageWeakRef(storage): storage.nbytes() for storage in storages}  # type: ignore[no-untyped-call]
