"""The networks that costs are taken of: on the meta device, shapes without numbers, or running on a device."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

import torch
from torch import Tensor, nn

from lightning_nas.architecture.edges import EdgeWeights
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs.base import Cost
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import CellSkeleton, Skeleton
from lightning_nas.runtime.seeding import derive_seed, generator
from lightning_nas.spaces.base import SearchSpace, SupernetSpace


def deployed(skeleton: Skeleton) -> Skeleton:
    """The skeleton of the network in use: without the auxiliary head, which is there for training only.

    Example:
        >>> deployed(CellSkeleton(auxiliary=True)).auxiliary
        False
    """
    return replace(skeleton, auxiliary=False) if isinstance(skeleton, CellSkeleton) else skeleton


def as_in_children(skeleton: Skeleton) -> Skeleton:
    """The skeleton under which a supernet's candidates are those of children: norms alike."""
    same = replace(skeleton, norm=skeleton.edge_norm(supernet=False))
    return replace(same, pool_norm=same.with_pool_norm(supernet=False)) if isinstance(same, CellSkeleton) else same


def child_like_supernet(space: SupernetSpace, skeleton: Skeleton) -> nn.Module:
    """The supernet with the candidates of children, run one by one."""
    return space.build(None, as_in_children(skeleton), Execution("edge_by_edge"))


def supernet_on_meta(space: SupernetSpace, skeleton: Skeleton) -> nn.Module:
    """The same on the meta device, in eval mode."""
    with torch.device("meta"):
        return child_like_supernet(space, skeleton).eval()


def on_meta(*shape: int) -> Tensor:
    """A tensor that has a shape only."""
    return torch.empty(shape, device="meta")


def every_candidate(space: SupernetSpace) -> dict[str, EdgeWeights]:
    """An architecture that runs all candidates."""
    return {name: EdgeWeights(on_meta(*group.shape)) for name, group in space.groups.items()}


@contextmanager
def named_calls(network: nn.Module) -> Iterator[list[str]]:
    """Within it, the names of the modules that run now, the innermost last; the network itself has the name ''."""
    running: list[str] = []
    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(lambda _module, _inputs, name=name: running.append(name)))
        handles.append(module.register_forward_hook(lambda *_: running.pop() and None, always_call=True))
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()


ImageSize = int | Sequence[int]
"""Height and width, or one number for both."""


def height_and_width(owner: str, image_size: ImageSize) -> tuple[int, int]:
    """The size as a pair.

    Raises:
        ValueError: it is none, or not positive.
    """
    pair = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(
            f"{owner}(image_size={image_size}): give the height and width of the images, or one number for both."
        )
    return pair


def check_images(owner: str, size: tuple[int, int], space: SearchSpace, skeleton: Skeleton) -> None:
    """Refuse images that are too small for the network.

    Raises:
        ValueError: they are.
    """
    least = deployed(skeleton).minimum_size
    if min(size) < least:
        raise ValueError(
            f"{owner}(image_size={list(size)}): the networks of {type(space).__name__} take images of at least {least} "
            "pixels here; give the size of the images that the final network will get."
        )


def check_positive(owner: str, **values: int | None) -> None:
    """Refuse numbers below 1; None is let through.

    Raises:
        ValueError: names the argument.
    """
    for name, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"{owner}({name}={value}): give an integer of at least 1.")


class BuiltCost(Cost):
    """A cost that is taken of the network as it is used: built, in eval mode, without its auxiliary head.

    A network is built once, on the meta device if nothing else is said, and its cost is kept.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[SearchSpace, Genotype, Skeleton], float] = {}

    def counted(self, skeleton: Skeleton) -> Skeleton:
        """The skeleton of the network that is counted."""
        return deployed(skeleton)

    def build(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> nn.Module:
        """The network, in eval mode."""
        with torch.device("meta"):
            return space.build(genotype, skeleton).eval()

    @abstractmethod
    def of(self, network: nn.Module, skeleton: Skeleton) -> float:
        """The cost of a network that `build` made under a skeleton."""

    def __call__(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> float:
        key = (space, genotype, skeleton)
        if key not in self._known:
            self.check(space, skeleton)
            counted = self.counted(skeleton)
            self._known[key] = self.of(self.build(space, genotype, counted), counted)
        return self._known[key]


T = TypeVar("T")
_SEED = derive_seed(0, "latency")
_CALIBRATION_IMAGES = 8  # more than one, for statistics of features of a single pixel


def same_weights(build: Callable[[], T]) -> T:
    """What `build` makes, with the same random numbers in each call; the global generator stays as it was."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(_SEED)
        return build()


def random_images(*shape: int, device: torch.device) -> Tensor:
    """Normal numbers, the same for the same shape."""
    return torch.randn(shape, generator=generator(_SEED, *shape)).to(device)


def running_child(
    space: SearchSpace, genotype: Genotype, skeleton: Skeleton, device: torch.device, size: tuple[int, int]
) -> nn.Module:
    """A child on a device, in eval mode, whose activations are of the size of a trained network's.

    Fresh norms do not normalise, so values would shrink from layer to layer, down to numbers that CPUs are slow with.
    """
    child = same_weights(lambda: space.build(genotype, skeleton)).to(device)
    norms = [module for module in child.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        child.train()(random_images(_CALIBRATION_IMAGES, skeleton.in_channels, *size, device=device))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return child.eval()
