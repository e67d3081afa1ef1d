"""Sections of `gpu.py` on single steps: bounds, ratios, precisions, batch sizes, layouts."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch
from apart import SIDES, Mode
from gpu_device import DEVICE, Step, free, on_device, peak_of, precision, profiled
from gpu_run import Section, Settings
from harness import interleaved, median_ratio
from search_side import STEPS, SearchSide, search_step
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from lightning_nas import Sgd

PRECISIONS = ("float32", "tf32", "bfloat16")
LAUNCHES, COPIES = ("cudaLaunch", "cuLaunch", "cudaGraphLaunch"), ("cudaMemcpy", "cudaMemset", "cuMemcpy", "cuMemset")


def step_of(name: str, settings: Settings, kind: Mode = "fan_out", numbers: str = "float32") -> Step:
    """A step of `search_side.py` on the device."""
    return within(numbers, search_step(name, kind, settings, DEVICE))


def within(numbers: str, step: Step) -> Step:
    """The step in a precision, which begins anew each time: autocast keeps the weights that it has converted."""

    def run() -> None:
        with precision(numbers):
            step()

    return run


class Traffic(TorchDispatchMode):
    """Counts operations that compute, their floating-point operations, and the bytes that they read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.flops = self.bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = function(*args, **(kwargs or {}))
        if not function.is_view and function.namespace == "aten":
            self.operations += 1
            count = flop_registry.get(function.overloadpacket)
            self.flops += count(*args, **(kwargs or {}), out_val=found) if count else 0
            values = tree_leaves((args, kwargs, found))
            self.bytes += sum(v.numel() * v.element_size() for v in values if isinstance(v, Tensor))
        return found


def rates(settings: Settings) -> dict[str, float]:
    """Bytes a second of a copy, and operations a second of a product in float32 and bfloat16, all measured."""
    side, size = (512, 2**20) if settings.smoke else (8192, 2**28)
    numbers, matrix = torch.rand(size, device=DEVICE), torch.rand(side, side, device=DEVICE)
    target, half = torch.empty_like(numbers), matrix.bfloat16()
    runs = {
        "copy": lambda: target.copy_(numbers), "float32": lambda: matrix @ matrix, "bfloat16": lambda: half @ half,
    }  # fmt: skip
    with precision("float32"):
        medians = {name: statistics.median(found) for name, found in interleaved(runs, 5, warmup=2).items()}
    found = {name: 2 * side**3 / seconds for name, seconds in medians.items() if name != "copy"}
    return {"bytes": 2 * numbers.nbytes / medians["copy"], **found}


def launches(rows: Sequence[Any]) -> dict[str, int]:
    """What a step asks of the device: kernels launched, copies and fills, and kernels that ran; zeros without CUDA."""
    called = {
        name: sum(row.count for row in rows if row.key.startswith(prefixes))
        for name, prefixes in (("launches", LAUNCHES), ("copies", COPIES))
    }
    return {**called, "ran": sum(row.count for row in rows if on_device(row)) if called["launches"] else 0}


def bounds(settings: Settings, section: Section) -> None:
    """Launches, operations and bytes of each step, and the least time that the card's own rates allow."""
    known = section.note("rates", rates(settings))
    free()
    print(f"copy {known['bytes'] / 1e9:.0f} GB/s, product {known['float32'] / 1e12:.1f} TFLOP/s in float32", end=", ")
    print(f"{known['bfloat16'] / 1e12:.1f} in bfloat16")
    print(
        f"{'step':20}{'launches':>9}{'copies':>8}{'aten':>8}{'GFLOP':>8}{'GB':>8}{'by FLOP, s':>12}{'by bytes, s':>12}"
    )
    for name in settings.steps:

        def measure(name: str = name) -> dict[str, Any]:
            step = step_of(name, settings)
            for _ in range(3):
                step()
            settings.profiles[name] = profiled(step)
            asked = launches(settings.profiles[name])
            with Traffic() as traffic:
                step()
            least = (traffic.flops / known["float32"], traffic.bytes / known["bytes"])
            print(f"{name:20}{asked['launches']:>9}{asked['copies']:>8}{traffic.operations:>8}", end="")
            print(f"{traffic.flops / 1e9:>8.1f}{traffic.bytes / 1e9:>8.2f}{least[0]:>12.5f}{least[1]:>12.5f}")
            counted = {"operations": traffic.operations, "bytes": traffic.bytes, "flops": traffic.flops}
            return {**asked, **counted, "least": {"flops": least[0], "bytes": least[1]}}

        section.item(name, measure)


def ratios(settings: Settings, section: Section) -> None:
    """Each step against the edge-by-edge reference in NCHW, time and peak memory, in float32."""
    _compare(settings, section, ("float32",), memory=True)


def precisions(settings: Settings, section: Section) -> None:
    """The same in TF32 and in autocast to bfloat16, both sides alike."""
    _compare(settings, section, PRECISIONS[1:], memory=False)


def _compare(settings: Settings, section: Section, kinds: tuple[str, ...], memory: bool) -> None:
    print(
        f"{'step':20}{'precision':>10}{'reference':>12}{'package':>12}{'ratio':>8}   MB, ratio; batch {settings.batch}"
    )
    for kind in kinds:
        for name in settings.steps:
            section.item(f"{name}, {kind}", lambda n=name, k=kind: _ratio(n, k, settings, memory))


def _ratio(name: str, kind: str, settings: Settings, memory: bool) -> dict[str, Any]:
    runs = {side: step_of(name, settings, side, kind) for side in SIDES}
    seconds = interleaved(runs, settings.rounds, warmup=3)
    runs.clear()
    slow, fast = (statistics.median(values) for values in seconds.values())
    ratio = median_ratio(*seconds.values())
    peaks = [peak_of(lambda s=side: step_of(name, settings, s, kind)) for side in SIDES] if memory else []
    text = "".join(f"{peak / 1e6:>9.0f}" for peak in peaks) + (f"{peaks[1] / max(peaks[0], 1):>7.2f}" if peaks else "")
    print(f"{name:20}{kind:>10}{slow:>10.4f} s{fast:>10.4f} s{ratio:>8.2f}{text}", flush=True)
    return {"seconds": seconds, "ratio": ratio, "peak_memory": dict(zip(SIDES, peaks, strict=False))}


def batches(settings: Settings, section: Section) -> None:
    """Images per second, both halves of a step, with larger batches."""
    print(f"{'step':20}{'precision':>10}{'batch':>8}{'seconds':>12}{'images/s':>10}")
    for name in (n for n in settings.steps if n != "darts second order"):
        for kind in ("float32", "bfloat16"):
            for size in (8, 16) if settings.smoke else (64, 128, 256, 512):

                def measure(name: str = name, size: int = size, kind: str = kind) -> dict[str, float]:
                    run = {"step": step_of(name, settings.with_batch(size), numbers=kind)}
                    seconds = statistics.median(interleaved(run, settings.rounds, warmup=2)["step"])
                    print(f"{name:20}{kind:>10}{size:>8}{seconds:>10.4f} s{2 * size / seconds:>10.0f}", flush=True)
                    return {"seconds": seconds, "images_per_second": 2 * size / seconds}

                section.item(f"{name}, {kind}, {size}", measure)


def layouts(settings: Settings, section: Section) -> None:
    """What the fan-out gains by itself: edge by edge in NCHW and in channels_last, with the same split gradients."""
    for name in (n for n in settings.steps if n != "darts second order"):
        section.item(name, lambda n=name: _layout(n, settings))


def _layout(name: str, settings: Settings) -> dict[str, Any]:
    make, method = STEPS[name]

    def edge_by_edge(layout: torch.memory_format) -> Callable[[], object]:
        side = SearchSide("edge_by_edge", settings, make(), DEVICE)
        side.split, side.optimizer = True, Sgd(0.025).build(side.weights, fused=True)
        side.network.to(memory_format=layout)
        side.images = [images.contiguous(memory_format=layout) for images in side.images]
        return within("float32", getattr(side, method))

    runs = {
        "edge by edge, NCHW": edge_by_edge(torch.contiguous_format),
        "edge by edge, channels_last": edge_by_edge(torch.channels_last),
        "fan-out, channels_last": step_of(name, settings),
    }
    seconds = interleaved(runs, settings.rounds, warmup=3)
    for kind, found in seconds.items():
        ratio = median_ratio(found, seconds["fan-out, channels_last"])
        print(f"{name:20}{kind:30}{statistics.median(found):>10.4f} s{ratio:>8.2f} of the fan-out's", flush=True)
    return {"seconds": seconds}
