"""How long something takes on a device."""

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
