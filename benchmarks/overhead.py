"""What a search costs over a bare PyTorch loop that does the same step: no Lightning, no callbacks.

Both sides have the same supernet, relaxation, draws, gradients, clipping, SGD and Adam, and the same two batches, which
are made beforehand. They take turns inside one `Trainer.fit` on the CPU: the loader runs a block of bare steps between
two blocks of the trainer's; in the end both sides must have the same weights, bit for bit. `plain` is a trainer without
logger, checkpoints and progress bar; `usual` has TensorBoard, a checkpoint, a progress bar, `ExtractGenotype` and
`ArchitectureMonitor`, as users have them. `alone` is the part that is Lightning's: the trainer of `plain` with a module
that has nothing but the bare step.

Beside other work the threads of a step wait for each other, and a step of DARTS takes many times as long. A case that
takes longer than `--limit` ends the run and shows where it was.

    python benchmarks/overhead.py            # three minutes on two cores that do nothing else
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import lightning as L
import torch
from harness import median_ratio, prepare, record
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn

from lightning_nas import CellSkeleton, DartsSearch, GdasSearch, StagedSkeleton
from lightning_nas.architecture.edges import EdgeWeights
from lightning_nas.callbacks import ArchitectureMonitor, ExtractGenotype
from lightning_nas.functional.gradients import frozen
from lightning_nas.runtime.memory import defer_garbage_collection
from lightning_nas.runtime.seeding import generator
from lightning_nas.search import DifferentiableSearch
from lightning_nas.spaces import DartsSpace, NasBench201Space

Batch = tuple[Tensor, Tensor]
KINDS = ["alone", "plain", "usual"]
BOUNDS = {"darts": "5 %", "gdas": "1.5 ms"}


def darts() -> DifferentiableSearch:
    return DartsSearch(DartsSpace(), CellSkeleton(cells=8, channels=16))


def gdas() -> DifferentiableSearch:
    return GdasSearch(NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1))


# Name: search, batch size, steps of a block.
CASES: dict[str, tuple[Callable[[], DifferentiableSearch], int, int]] = {"darts": (darts, 16, 2), "gdas": (gdas, 4, 20)}


class Bare:
    """The same step in a loop of one's own."""

    def __init__(self, search: DifferentiableSearch, train: Batch, val: Batch) -> None:
        self.network, self.relaxation = search.supernet, search.relaxation
        self.parameters = search.architecture_parameters
        self.weights, self.alphas = list(self.network.parameters()), list(search.architecture.parameters())
        self.sgd, self.adam = (
            search.optimizer.build(self.weights, fused=True),
            search.architecture_optimizer.build(self.alphas),
        )
        self.all = [*self.weights, *self.alphas]
        self.train, self.val, self.index = train, val, 0

    def loss(self, batch: Batch, purpose: str, detach: bool = False) -> Tensor:
        architecture = self.relaxation(self.parameters, generator(0, "relaxation", purpose, 0, self.index))
        if detach:
            architecture = {
                name: EdgeWeights(w.values.detach(), w.active, w.inactive_gradient) for name, w in architecture.items()
            }
        return nn.functional.cross_entropy(self.network(batch[0], architecture).logits, batch[1])

    @defer_garbage_collection()
    def step(self, step_weights: Callable[[], object] | None = None) -> None:
        with frozen(self.weights):
            found = torch.autograd.grad(self.loss(self.val, "architecture"), self.alphas, allow_unused=True)
        for alpha, gradient in zip(self.alphas, found, strict=True):
            alpha.grad = gradient
        self.adam.step()
        loss = self.loss(self.train, "weights", detach=True)
        for weight, gradient in zip(
            self.weights, torch.autograd.grad(loss, self.weights, allow_unused=True), strict=True
        ):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(self.weights, 5.0)
        (step_weights or self.sgd.step)()
        self.index += 1


class Alone(L.LightningModule):
    """Nothing but the bare step and Lightning: no logs, no checks, no hooks."""

    def __init__(self, step: Bare) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.supernet, self.architecture, self.step = step.network, nn.ParameterList(step.alphas), step

    def training_step(self, batch: dict[str, Batch], batch_idx: int) -> None:  # noqa: ARG002
        sgd, _ = self.optimizers()  # type: ignore[attr-defined]
        self.step.step(sgd.step)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        return [self.step.sgd, self.step.adam]


class Turns:
    """A loader of one batch that runs a block of bare steps after each block of the trainer's, and times both."""

    def __init__(self, batch: Batch, bare: Bare, steps: int, rounds: int) -> None:
        self.batch, self.bare, self.steps, self.rounds = batch, bare, steps, rounds
        self.seconds: dict[str, list[float]] = {"package": [], "bare": []}

    def __len__(self) -> int:
        return self.steps * (self.rounds + 1) + 1  # a block to warm up; the batch at the end closes the last block

    def __iter__(self) -> Iterator[Batch]:
        for index in range(self.rounds + 1):
            begin = time.perf_counter()
            for _ in range(self.steps):
                yield self.batch
            middle = time.perf_counter()
            for _ in range(self.steps):
                self.bare.step()
            if index:
                self.seconds["package"].append((middle - begin) / self.steps)
                self.seconds["bare"].append((time.perf_counter() - middle) / self.steps)
        yield self.batch


class Repeated:
    """A loader of one batch."""

    def __init__(self, batch: Batch, length: int) -> None:
        self.batch, self.length = batch, length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[Batch]:
        return repeat(self.batch, self.length)


def trainer(kind: str, folder: str) -> L.Trainer:
    settings: dict[str, Any] = {"max_epochs": 1, "accelerator": "cpu", "devices": 1, "default_root_dir": folder}
    if kind == "usual":
        return L.Trainer(**settings, callbacks=[ExtractGenotype(), ArchitectureMonitor()], enable_model_summary=False)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(**settings, **quiet)


def measure(name: str, kind: str, rounds: int) -> dict[str, list[float]]:
    make, size, steps = CASES[name]
    L.seed_everything(0)
    batches = [(torch.randn(size, 3, 32, 32), torch.randint(10, (size,))) for _ in range(2)]
    search = make()
    bare = Bare(copy.deepcopy(search), *batches)
    module = Alone(Bare(search, *batches)) if kind == "alone" else search
    turns = Turns(batches[0], bare, steps, rounds)
    loaders = CombinedLoader({"train": turns, "val": Repeated(batches[1], len(turns))}, "min_size")
    with tempfile.TemporaryDirectory() as folder:
        trainer(kind, folder).fit(module, loaders)
    bare.step()  # the batch at the end
    for ours, theirs in zip([*search.supernet.parameters(), *search.architecture.parameters()], bare.all, strict=True):
        assert torch.equal(ours, theirs), "the two sides have not done the same"
    return turns.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--kinds", nargs="*", default=KINDS, choices=KINDS)
    parser.add_argument("--limit", type=float, default=300, help="seconds for a case")
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    settings = parser.parse_args()
    prepare()
    print(f"{'step':8}{'trainer':10}{'bare':>12}{'package':>12}{'more':>10}{'share':>8}   bound", flush=True)
    results = {}
    for name in settings.cases:
        for kind in settings.kinds:
            faulthandler.dump_traceback_later(settings.limit, exit=True)
            seconds = measure(name, kind, settings.rounds)
            faulthandler.cancel_dump_traceback_later()
            bare, package = (statistics.median(seconds[side]) for side in ("bare", "package"))
            pairs = zip(seconds["package"], seconds["bare"], strict=True)
            more, share = statistics.median(p - b for p, b in pairs), median_ratio(*seconds.values()) - 1
            figures = f"{1e3 * bare:>9.2f} ms{1e3 * package:>9.2f} ms{1e3 * more:>7.2f} ms{share:>8.1%}"
            print(f"{name:8}{kind:10}{figures}   {BOUNDS[name]}", flush=True)
            results[f"{name}, {kind}"] = {"seconds": seconds, "more": more, "share": share}
    record("overhead", results, {"rounds": settings.rounds, "cases": settings.cases, "seed": 0}, settings.output)


if __name__ == "__main__":
    main()
