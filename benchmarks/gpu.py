"""All that a GPU is asked for, in one command of less than eight minutes; on a CPU it runs in small, to see it work.

1. The bounds: operations launched in a step, floating-point operations, bytes that operations read and write, and the
   least time that these allow at the card's own copy and product rates, which are measured first.
2. Steps against the edge-by-edge reference of `search_step.py`, in float32, TF32 and bfloat16 autocast.
3. A GDAS search by its recipe (NAS-Bench-201, 5 cells a stage, 16 channels): two epochs measured after one to warm up,
   extrapolated to 250 of 25,000 + 25,000 images.
4. Where the time of a step goes.
5. Steps in which the device may not be waited for (`torch.cuda.set_sync_debug_mode`): how often one waits.

    python benchmarks/gpu.py --output gpu.json            # on a machine with a GPU
    python benchmarks/gpu.py --smoke                      # anywhere; parts that need CUDA say so
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from harness import interleaved, median_ratio, prepare, processor, record
from lightning.pytorch.callbacks import Callback
from search_step import STEPS, Side
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lightning_nas import Adam, CellSkeleton, DartsSearch, GdasSearch, Norm, Sgd, StagedSkeleton
from lightning_nas.callbacks import TemperatureSchedule
from lightning_nas.data import Augment, Bilevel, ImageData
from lightning_nas.data.dataset import ImageSet, InMemory
from lightning_nas.spaces import DartsSpace, NasBench201Space

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
EPOCHS = 250


def wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


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
            values = torch.utils._pytree.tree_leaves((args, kwargs, found))
            self.bytes += sum(v.numel() * v.element_size() for v in values if isinstance(v, Tensor))
        return found


def rates() -> dict[str, float]:
    """Bytes a second of a copy and operations a second of a float32 product, both measured."""
    numbers = torch.rand(2**26 if CUDA else 2**24, device=DEVICE)
    matrix = torch.rand(4096 if CUDA else 1024, 4096 if CUDA else 1024, device=DEVICE)
    target = torch.empty_like(numbers)
    seconds = interleaved({"copy": lambda: target.copy_(numbers), "product": lambda: matrix @ matrix}, 10, warmup=3)
    copied, product = (statistics.median(seconds[name]) for name in ("copy", "product"))
    return {"bytes": 2 * numbers.nbytes / copied, "operations": 2 * len(matrix) ** 3 / product}


def launches(step: Callable[[], object]) -> int | None:
    """CUDA kernels and copies that a step starts; None without CUDA."""
    if not CUDA:
        return None
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        step()
        wait()
    names = ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernelEx", "cudaMemcpyAsync")
    return sum(event.count for event in found.key_averages() if event.key in names)


def bounds(settings: argparse.Namespace) -> dict[str, Any]:
    known, results = rates(), {}
    print(f"copy {known['bytes'] / 1e9:.0f} GB/s, float32 product {known['operations'] / 1e12:.2f} TFLOP/s")
    print(f"{'step':22}{'launches':>10}{'aten':>8}{'GFLOP':>8}{'GB':>8}{'least by FLOP':>15}{'least by bytes':>16}")
    for name in settings.steps:
        make, method = STEPS[name]
        step = getattr(Side("fan_out", settings, make(), DEVICE), method)
        step()
        started = launches(step)
        with Traffic() as traffic:
            step()
        least = (traffic.flops / known["operations"], traffic.bytes / known["bytes"])
        figures = f"{traffic.flops / 1e9:>8.1f}{traffic.bytes / 1e9:>8.1f}"
        print(f"{name:22}{started or '-':>10}{traffic.operations:>8}{figures}{least[0]:>13.4f} s{least[1]:>14.4f} s")
        results[name] = {
            "launches": started,
            "operations": traffic.operations,
            "bytes": traffic.bytes,
            "flops": traffic.flops,
            "least": least,
        }
    return {"rates": known, "steps": results}


def precisions() -> dict[str, Callable[[], AbstractContextManager[Any]]]:
    autocast = lambda: torch.autocast(DEVICE.type, torch.bfloat16)  # noqa: E731
    return {"float32": nullcontext, "tf32": nullcontext, "bfloat16": autocast} if CUDA else {"float32": nullcontext}


def ratios(settings: argparse.Namespace, rounds: int) -> dict[str, Any]:
    results: dict[str, Any] = {}
    print(f"\n{'step':22}{'precision':10}{'reference':>12}{'package':>12}{'ratio':>8}   batch {settings.batch}")
    for precision, context in precisions().items():
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        for name in settings.steps:
            make, method = STEPS[name]
            sides = {kind: Side(kind, settings, make(), DEVICE) for kind in ("edge_by_edge", "fan_out")}

            def run(side: Side, method: str = method, context: Any = context) -> None:
                with context():
                    getattr(side, method)()

            seconds = interleaved({kind: lambda side=side: run(side) for kind, side in sides.items()}, rounds, 2)
            slow, fast = (statistics.median(values) for values in seconds.values())
            ratio = median_ratio(*seconds.values())
            print(f"{name:22}{precision:10}{slow:>10.4f} s{fast:>10.4f} s{ratio:>8.2f}", flush=True)
            results[f"{name}, {precision}"] = {"seconds": seconds, "ratio": ratio}
    return results


class RandomImages(ImageData):
    """Images of CIFAR-10's number and size."""

    class_names = tuple("0123456789")
    shape = (3, 32, 32)

    def __init__(self, number: int, batch_size: int) -> None:
        augment, std = Augment(crop=4, flip=True), (63.0, 62.0, 66.0)
        super().__init__(
            batch_size=batch_size, validation=0.0, augment=augment, mean=(125.0, 123.0, 114.0), std=std, workers=0,
            split_seed=0, predict_root=None,
        )  # fmt: skip
        self.number = number

    def load_training(self) -> ImageSet:
        source = torch.Generator().manual_seed(0)
        images = torch.randint(256, (self.number, *self.shape), generator=source, dtype=torch.uint8)
        return InMemory(images, torch.randint(10, (self.number,), generator=source))

    load_test = load_training


class Clock(Callback):
    """Seconds of each training epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        wait()
        self.begin = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        wait()
        self.seconds.append(time.perf_counter() - self.begin)


def quiet_trainer(folder: str, epochs: int, callbacks: list[Callback]) -> L.Trainer:
    """One that does nothing but train."""
    return L.Trainer(
        max_epochs=epochs, accelerator="auto", devices=1, callbacks=callbacks, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False, default_root_dir=folder,
    )  # fmt: skip


def gdas_search(settings: argparse.Namespace) -> dict[str, Any]:
    """Two epochs of the recipe, after one; validation is left out, as in the authors' clock."""
    norm = Norm(affine=False, statistics="batch")
    small = settings.smoke
    skeleton = StagedSkeleton(channels=4 if small else 16, cells_per_stage=1 if small else 5, norm=norm)
    sgd = Sgd(lr_min=0.001, weight_decay=5e-4, nesterov=True)
    search = GdasSearch(NasBench201Space(), skeleton, optimizer=sgd, architecture_optimizer=Adam())
    clock, number = Clock(), 512 if small else 50_000
    data = Bilevel(RandomImages(number, settings.batch), fraction=0.5)
    with tempfile.TemporaryDirectory() as folder:
        quiet_trainer(folder, 3, [clock, TemperatureSchedule(10.0, 0.1)]).fit(search, data)
    epoch = statistics.mean(clock.seconds[1:])
    full = EPOCHS * epoch
    size = "CIFAR-10's size" if not small else f"{number} images, a small supernet"
    print(f"\nGDAS search, {size}: {epoch:.2f} s an epoch ({clock.seconds}), {EPOCHS} epochs {full / 60:.1f} minutes")
    return {"epochs": clock.seconds, "extrapolated": full}


def shares(settings: argparse.Namespace) -> dict[str, float]:
    """The operations that take most of a step's time on the device."""
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if CUDA else [])]
    results: dict[str, float] = {}
    for name in settings.steps:
        make, method = STEPS[name]
        step = getattr(Side("fan_out", settings, make(), DEVICE), method)
        step()
        begin = time.perf_counter()
        step()
        wait()
        wall = time.perf_counter() - begin
        with profile(activities=activities) as found:
            step()
            wait()
        kind = "self_device_time_total" if CUDA else "self_cpu_time_total"
        rows = [row for row in found.key_averages() if not CUDA or row.device_type == DeviceType.CUDA]
        rows.sort(key=lambda row: -getattr(row, kind))
        busy = sum(getattr(row, kind) for row in rows) / 1e6
        print(f"\n{name}: {wall:.4f} s, of which the device computes {min(busy / wall, 1.0):.0%}")
        for row in rows[:10]:
            print(f"    {getattr(row, kind) / 1e6 / busy:>6.1%} {row.count:>6} x {row.key[:90]}")
        results[name] = busy / wall
    return results


class Watch(Callback):
    """Lets torch warn of each wait for the device, from the third batch to the last."""

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        del trainer, pl_module, batch
        torch.cuda.set_sync_debug_mode("warn" if batch_idx >= 2 else "default")

    def on_train_batch_end(self, *_: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


def waits(settings: argparse.Namespace) -> dict[str, float]:
    """How often a step of a real fit waits for the device; the draw of GDAS has to, once a draw."""
    if not CUDA:
        print("\nwaits for the device: needs CUDA, left out")
        return {}
    searches = {
        "darts": lambda: DartsSearch(DartsSpace(), CellSkeleton(cells=8, channels=16)),
        "gdas": lambda: GdasSearch(NasBench201Space(), StagedSkeleton(channels=16, cells_per_stage=5)),
    }
    results = {}
    for name, make in searches.items():
        data = Bilevel(RandomImages(12 * 2 * settings.batch, settings.batch), fraction=0.5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with tempfile.TemporaryDirectory() as folder:
                quiet_trainer(folder, 1, [Watch()]).fit(make(), data)
        places = [f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message)]
        results[name] = len(places) / 10
        print(f"{name}: {results[name]:.1f} waits a step {sorted(set(places))}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", nargs="*", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--smoke", action="store_true", help="small sizes, to see that all of it runs")
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    settings = parser.parse_args()
    prepare()
    if not CUDA and not settings.smoke:
        parser.error("no CUDA device here: add --smoke for small sizes.")
    settings.cells, settings.channels, settings.size = (3, 4, 12) if settings.smoke else (8, 16, 32)
    settings.batch, settings.rounds = (8, 2) if settings.smoke else (settings.batch, settings.rounds)
    settings.seed, settings.checkpoint_cells = 0, False
    begin = time.perf_counter()
    print(processor())
    results = {
        "bounds": bounds(settings),
        "ratios": ratios(settings, settings.rounds),
        "search": gdas_search(settings),
        "shares": shares(settings),
        "waits": waits(settings),
    }
    print(f"\n{time.perf_counter() - begin:.0f} s in all")
    record("gpu", results, {k: v for k, v in vars(settings).items() if k != "output"}, settings.output)


if __name__ == "__main__":
    main()
