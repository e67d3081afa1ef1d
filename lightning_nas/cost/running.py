"""Networks that run on a device, to be measured there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from lightning_nas.functional.seeding import derive_seed, generator
from lightning_nas.genotype import Genotype
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace

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
