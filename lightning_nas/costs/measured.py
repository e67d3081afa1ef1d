"""Latency that is measured on a device."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs.networks import (
    BuiltCost,
    ImageSize,
    check_images,
    check_positive,
    height_and_width,
    random_images,
    running_child,
)
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.spaces.base import SearchSpace

Key = TypeVar("Key")


@dataclass(frozen=True)
class Latency:
    """A measured time, in milliseconds.

    Args:
        median: of the repetitions.
        spread: between their quartiles, so that half of the repetitions lie within it.
        repetitions: how often it was measured.
    """

    median: float
    spread: float
    repetitions: int


def latencies(
    runs: Mapping[Key, Callable[[], object]],
    device: torch.device,
    warmup: int,
    repetitions: int,
    least_ms: float = 0.0,
) -> dict[Key, Latency]:
    """How long each run takes; they take turns, so that a machine whose speed drifts treats all alike.

    Args:
        runs: what to measure.
        device: where they run; on an accelerator the clock stops when it is done.
        warmup: times that each runs before.
        repetitions: times that each is measured.
        least_ms: what is shorter is repeated within a measurement until it takes about as long: on an accelerator, to
            which calls are handed before the last is done, waiting for each would count too.
    """
    seconds: dict[Key, list[float]] = {key: [] for key in runs}
    calls = dict.fromkeys(runs, 1)
    for key, run in runs.items():
        for _ in range(warmup):
            run()
        if least_ms:
            calls[key] = max(1, min(1000, round(least_ms / max(1e-6, 1e3 * _timed(run, 1, device)))))
    for _ in range(repetitions):
        for key, run in runs.items():
            seconds[key].append(_timed(run, calls[key], device))
    return {key: _latency(found) for key, found in seconds.items()}


def _timed(run: Callable[[], object], calls: int, device: torch.device) -> float:
    synchronize(device)
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    synchronize(device)
    return (time.perf_counter() - begin) / calls


def _latency(seconds: list[float]) -> Latency:
    quartiles = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else seconds * 3
    return Latency(1e3 * quartiles[1], 1e3 * (quartiles[2] - quartiles[0]), len(seconds))


def synchronize(device: torch.device) -> None:
    """Wait until an accelerator has done what it was given."""
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)


def usable(owner: str, device: str) -> torch.device:
    """The device, if this machine has it.

    Raises:
        ValueError: it has not.
    """
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{owner}(device={device!r}): it cannot be used here ({reason}); give another.") from error
    return found


def device_name(device: torch.device) -> str:
    """The model of an accelerator or of the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    found = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.processor() or platform.machine())


@contextmanager
def using_threads(threads: int | None) -> Iterator[None]:
    """Within it, PyTorch uses so many CPU threads; None leaves it as it is."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


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
        return running_child(space, genotype, skeleton, device, self.size)

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
