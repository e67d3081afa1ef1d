"""Peak activation memory: what a network needs besides its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_nas.cost.built import BuiltCost
from lightning_nas.cost.images import ImageSize, check_images, check_positive, height_and_width
from lightning_nas.cost.network import on_meta
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace

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
