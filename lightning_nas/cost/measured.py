"""Latency that is measured on a device."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from lightning_nas.cost.built import BuiltCost
from lightning_nas.cost.images import ImageSize, check_images, check_positive, height_and_width
from lightning_nas.cost.running import random_images, running_child
from lightning_nas.cost.stopwatch import Latency, latencies, usable, using_threads
from lightning_nas.genotype import Genotype
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace


class MeasuredLatency(BuiltCost):
    """The time of an inference on a device of this machine, in milliseconds: the median of several.

    Each network is built once, in eval mode, with the same weights for the same genotype. On an accelerator the clock
    stops when the device is done. A measurement is no exact number: what was measured is kept, so that a search asks
    once, and `measure` says how far the repetitions lie apart.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps", ...
        batch_size: images in the batch.
        image_size: height and width of the images, or one number for both.
        warmup: inferences before the first that counts.
        repetitions: inferences that count.
        threads: CPU threads of PyTorch while it measures; None: as many as it has.
        name: of the metric, where latencies on several devices are costs.

    Raises:
        ValueError: a number is not positive.

    Example:
        >>> from lightning_nas.spaces import NasBench201Space
        >>> space = NasBench201Space()
        >>> cost = MeasuredLatency(image_size=8, repetitions=5, threads=1)
        >>> skips = space.genotype({decision.name: "skip_connect" for decision in space.decisions})
        >>> cost.measure(space, skips, space.skeleton(channels=4, cells_per_stage=1)).repetitions
        5
    """

    def __init__(
        self,
        device: str = "cpu",
        batch_size: int = 1,
        image_size: ImageSize = 32,
        warmup: int = 5,
        repetitions: int = 30,
        threads: int | None = None,
        name: str = "latency_ms",
    ) -> None:
        super().__init__()
        check_positive("MeasuredLatency", batch_size=batch_size, repetitions=repetitions, threads=threads)
        if warmup < 0:
            raise ValueError(f"MeasuredLatency(warmup={warmup}): give an integer of at least 0.")
        self.device, self.batch_size, self.name = device, batch_size, name
        self.size = height_and_width("MeasuredLatency", image_size)
        self.warmup, self.repetitions, self.threads = warmup, repetitions, threads

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:
        """Refuse a device that this machine lacks, and images that are too small.

        Raises:
            ValueError: names it and the remedy.
        """
        usable("MeasuredLatency", self.device)
        check_images("MeasuredLatency", self.size, space, skeleton)

    def build(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> nn.Module:
        """The network on the device."""
        device = usable("MeasuredLatency", self.device)
        return running_child(space, genotype, replace(skeleton, checkpoint_cells=False), device, self.size)

    def of(self, network: nn.Module, skeleton: Skeleton) -> float:
        return self._measured(network, skeleton).median

    def measure(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> Latency:
        """The time of a network, measured anew."""
        self.check(space, skeleton)
        counted = self.counted(skeleton)
        return self._measured(self.build(space, genotype, counted), counted)

    def _measured(self, network: nn.Module, skeleton: Skeleton) -> Latency:
        device = torch.device(self.device)
        images = random_images(self.batch_size, skeleton.in_channels, *self.size, device=device)
        with torch.inference_mode(), using_threads(self.threads):
            return latencies({0: lambda: network(images)}, device, self.warmup, self.repetitions)[0]
