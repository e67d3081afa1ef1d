"""One training step of a final network: this package's execution against its own edge-by-edge reference.

A step is what `NetworkTraining` does with a batch by its defaults: forward with auxiliary head and drop path, loss,
backward, clipping, SGD. The reference is in the layout of the authors' code: NCHW, each module called one after the
other, torch's default SGD. Both sides compute the same function from the same weights and images.

Each side runs in a process of its own, and they take turns. Peak memory is that of these processes, less what they held
after their imports.

    python benchmarks/training_step.py                     # DARTS_V2, 36 channels, 20 cells: a minute on two cores
    python benchmarks/training_step.py --networks all      # one network of every space besides
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from apart import SIDES, compare, heading, serve
from harness import prepare, processor, record
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="*", default=["DARTS_V2"], choices=[*NETWORKS, "all"])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=32, help="pixels of the images' sides")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--serve", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    settings = parser.parse_args()
    prepare()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if settings.serve:
        serve(lambda: Side(settings.serve, settings.networks[0], settings.batch, settings.size, device).step)
        return
    names = list(NETWORKS) if "all" in settings.networks else settings.networks
    print(f"{processor()}\n{heading('network')}")
    words = [__file__, "--batch", str(settings.batch), "--size", str(settings.size)]
    results = {name: compare(name, [*words, "--networks", name, "--serve"], settings.rounds) for name in names}
    del settings.serve
    record("training_step", results, {k: v for k, v in vars(settings).items() if k != "output"}, settings.output)


if __name__ == "__main__":
    main()
