"""One training step of a final network: this package's execution against its own edge-by-edge reference.

A step is what `NetworkTraining` does with a batch by its defaults: forward with auxiliary head and drop path, loss,
backward, clipping, SGD. The reference is in the layout of the authors' code: NCHW, each module called one after the
other, torch's default SGD. Both sides compute the same function from the same weights and images.

Peak memory is that of a process of its own for each side, less what it held after its imports.

    python benchmarks/training_step.py                     # DARTS_V2, 36 channels, 20 cells: a minute on two cores
    python benchmarks/training_step.py --networks all      # one network of every space besides
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import interleaved, median_ratio, prepare, processor, record
from search_step import in_use
from torch import nn

from lightning_nas import CellSkeleton, Genotype, NetworkTraining, Sgd, Skeleton, StagedSkeleton
from lightning_nas.edge import DropPath
from lightning_nas.space import SearchSpace
from lightning_nas.spaces import (
    ChainSkeleton,
    ConvChainSpace,
    EnasMacroSpace,
    EnasMicroSpace,
    MacroSkeleton,
    NasBench201Space,
    published,
)

SIDES = ("edge_by_edge", "fan_out")
DROP_PATH = 0.1  # the mean of a training whose schedule leads to 0.2

Made = tuple[SearchSpace, Genotype, Skeleton]


def cells(name: str) -> Callable[[Any], Made]:
    """A published cell in the skeleton of a final network for CIFAR-10."""
    return lambda execution: (*published(name), CellSkeleton(36, cells=20, auxiliary=True, execution=execution))


def drawn(space: SearchSpace, skeleton: Callable[..., Skeleton]) -> Callable[[Any], Made]:
    """A uniform draw from a space."""
    genotype = space.sample(torch.Generator().manual_seed(0))
    return lambda execution: (space, genotype, skeleton(execution=execution))


def staged(text: str) -> Callable[[Any], Made]:
    """A cell in the skeleton of NAS-Bench-201."""
    space = NasBench201Space()
    return lambda execution: (space, space.parse(text), StagedSkeleton(execution=execution))


NETWORKS: dict[str, Callable[[Any], Made]] = {
    "DARTS_V2": cells("DARTS_V2"),
    "GDAS_V1": cells("GDAS_V1"),
    "GDAS_F1": lambda execution: (*published("GDAS_F1"), CellSkeleton(40, cells=20, execution=execution)),
    "NASNET_A": lambda execution: (*published("NASNET_A"), CellSkeleton(32, cells=20, execution=execution)),
    "ENAS micro": drawn(EnasMicroSpace(), lambda **sizes: CellSkeleton(36, cells=17, **sizes)),
    "ENAS macro": drawn(EnasMacroSpace(), lambda **sizes: MacroSkeleton(merge="concatenate", growth=2, **sizes)),
    "NAS-Bench-201": staged(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    ),
    "chain": drawn(ConvChainSpace(), lambda **sizes: ChainSkeleton(36, **sizes)),
}


class Side:
    """One network and its training step on a fixed batch."""

    def __init__(self, execution: Any, name: str, batch: int, size: int, device: torch.device) -> None:
        torch.manual_seed(0)
        training = NetworkTraining(*NETWORKS[name](execution)).to(device).train()
        self.network, self.task, self.clip = training.network, training.task, training.clip or 0.0
        for module in self.network.modules():
            if isinstance(module, DropPath):
                module.probability = DROP_PATH
        self.weights = list(self.network.parameters())
        if execution == "fan_out":
            self.optimizer = training.optimizer.build(self.weights)
        else:
            self.optimizer = torch.optim.SGD(self.weights, Sgd.lr, momentum=Sgd.momentum, weight_decay=Sgd.weight_decay)
        self.batch = torch.randn(batch, 3, size, size, device=device), torch.randint(10, (batch,), device=device)

    def step(self) -> None:
        """Forward, loss, backward, clipping, SGD: the order in which Lightning does it."""
        loss = self.task.loss(self.network(self.task.inputs(self.batch)), self.batch)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, self.clip)
        self.optimizer.step()


def print_peak_memory(kind: str, name: str, settings: argparse.Namespace, device: torch.device) -> None:
    """What a child process does: three steps, then its peak in bytes, as its last line."""
    before = in_use()
    side = Side(kind, name, settings.batch, settings.size, device)
    for _ in range(3):
        side.step()
    print(in_use(peak=True) - before)


def peak_memory(kind: str, name: str, settings: argparse.Namespace) -> int:
    """Bytes at the peak of a step, measured in a process of its own."""
    sizes = ["--batch", str(settings.batch), "--size", str(settings.size)]
    words = [sys.executable, __file__, *sizes, "--networks", name, "--memory-of", kind]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def compared(name: str, settings: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Seconds and memory of both sides, printed as a line of the table."""
    sides = {kind: Side(kind, name, settings.batch, settings.size, device) for kind in SIDES}
    seconds = interleaved({kind: side.step for kind, side in sides.items()}, settings.rounds)
    del sides
    medians = {kind: statistics.median(values) for kind, values in seconds.items()}
    ratio = median_ratio(seconds["edge_by_edge"], seconds["fan_out"])
    memory = {kind: peak_memory(kind, name, settings) for kind in SIDES}
    saved = memory["fan_out"] / memory["edge_by_edge"]
    slow, fast = (f"{medians[kind]:>10.3f} s" for kind in SIDES)
    large, small = (f"{memory[kind] / 1e6:>8.0f}" for kind in SIDES)
    print(f"{name:22}{slow}{fast}{ratio:>8.2f}{large}{small}{saved:>8.2f}", flush=True)
    return {"seconds": seconds, "median": medians, "ratio": ratio, "peak_memory": memory, "memory_ratio": saved}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=["DARTS_V2"], choices=[*NETWORKS, "all"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=32, help="pixels of the images' sides")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--memory-of", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    settings = parser.parse_args()
    prepare()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if settings.memory_of:
        print_peak_memory(settings.memory_of, settings.networks[0], settings, device)
        return
    names = list(NETWORKS) if "all" in settings.networks else settings.networks
    print(f"{processor()}\n{'network':22}{'reference':>12}{'package':>12}{'ratio':>8}{'memory, MB':>16}{'ratio':>8}")
    results = {name: compared(name, settings, device) for name in names}
    del settings.memory_of
    record("training_step", results, {k: v for k, v in vars(settings).items() if k != "output"}, settings.output)


if __name__ == "__main__":
    main()
