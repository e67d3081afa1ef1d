"""The thin layer between `gpu.py` and CUDA: on a machine without it the same calls do what a CPU can, or nothing."""

from __future__ import annotations

import gc
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from apart import in_use
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
Step = Callable[[], object]
PACKAGE = Path(__file__).parents[1]


def wait() -> None:
    """Until the device has done all that it was given."""
    if CUDA:
        torch.cuda.synchronize()


def seconds_of(step: Step, times: int = 1) -> tuple[float, float]:
    """Seconds of a step until the host has handed it over, and until the device has done it."""
    wait()
    begin = time.perf_counter()
    for _ in range(times):
        step()
    issued = time.perf_counter()
    wait()
    return (issued - begin) / times, (time.perf_counter() - begin) / times


def free() -> None:
    """Give back what nothing refers to any more; a failure leaves references in its traceback, so collect first."""
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()


def peak_of(build: Callable[[], Step], times: int = 3) -> int:
    """Bytes at the peak of building something and running its step, less what was in use before."""
    free()
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
    before, step = in_use(), build()
    for _ in range(times):
        step()
    wait()
    return in_use(peak=True) - before


def profiled(step: Step) -> list[Any]:
    """The profiler's rows of one call of a step, by name; with tens of thousands of events it takes seconds."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if CUDA else [])]
    wait()
    with profile(activities=activities) as found:
        step()
        wait()
    return list(found.key_averages())


def on_device(row: Any) -> bool:
    """Whether a row of the profiler is one of kernels and copies on the GPU; on a CPU all are what computes."""
    return bool(row.device_type == DeviceType.CUDA) if CUDA else True


def busy_seconds(row: Any) -> float:
    """Seconds that the device computes for a row itself."""
    return float(row.self_device_time_total if CUDA else row.self_cpu_time_total) / 1e6


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Float32 with TF32 off ("float32") or on ("tf32"), or autocast to bfloat16 with TF32 on ("bfloat16")."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if name == "float32" else "high")
    torch.backends.cudnn.allow_tf32 = name != "float32"
    context: AbstractContextManager[Any] = nullcontext()
    if name == "bfloat16":
        context = torch.autocast(DEVICE.type, torch.bfloat16)
    try:
        with context:
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


class Waits:
    """Where the host waits for the device, by torch's synchronisation debug mode: stack lines and how often."""

    def __init__(self) -> None:
        self.places: Counter[str] = Counter()

    def watch(self, on: bool) -> None:
        """Begin or end to watch; call it within `caught`."""
        if CUDA:
            torch.cuda.set_sync_debug_mode("warn" if on else "default")

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Within it torch's warnings are counted by the lines that led to them, each time that they occur."""
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            shown = warnings.showwarning

            def show(message: Any, category: Any, *rest: Any, **more: Any) -> None:
                if "called a synchronizing" in str(message):
                    self.places[_place()] += 1
                elif not issubclass(category, (FutureWarning, DeprecationWarning)):
                    shown(message, category, *rest, **more)

            warnings.showwarning = show
            try:
                yield
            finally:
                self.watch(False)


def _place() -> str:
    """The innermost lines of this package and of what it called, outermost first."""
    frames = [f for f in traceback.extract_stack()[:-2] if not f.filename.endswith("warnings.py")]
    own = [i for i, f in enumerate(frames) if PACKAGE / "lightning_nas" in Path(f.filename).parents]
    inner = frames[own[-1] :][:3] if own else frames[-3:]
    return " <- ".join(f"{Path(f.filename).name}:{f.lineno} {f.line}" for f in reversed(inner))


def captured(step: Step, warmup: int = 3) -> Step:
    """The step as one CUDA graph, to be replayed; without CUDA the step itself.

    It has to read and write the same tensors each time, and must not wait for the device.
    """
    if not CUDA:
        for _ in range(warmup):
            step()
        return step
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(warmup):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay(kept: Step = step) -> None:  # the graph writes to the step's tensors, which have to live as long
        del kept
        graph.replay()

    return replay
