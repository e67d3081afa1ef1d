"""One training step of a final network: this package's execution, or its own edge-by-edge reference.

A step is what `NetworkTraining` does with a batch by its defaults: forward with auxiliary head and drop path, loss,
backward, clipping, SGD. The reference is in the layout of the authors' code: NCHW, each module called one after the
other, torch's default SGD. Both sides compute the same function from the same weights and images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from apart import Mode
from torch import nn

from lightning_nas import CellSkeleton, Genotype, NetworkTraining, Sgd, Skeleton, StagedSkeleton
from lightning_nas.execution import DropPath, Execution
from lightning_nas.spaces import (
    ChainSkeleton,
    ConvChainSpace,
    EnasMacroSpace,
    EnasMicroSpace,
    MacroSkeleton,
    NasBench201Space,
    published,
)
from lightning_nas.spaces.base import SearchSpace

DROP_PATH = 0.1  # the mean of a training whose schedule leads to 0.2

Made = tuple[SearchSpace, Genotype, Skeleton]


def drawn(space: SearchSpace, skeleton: Skeleton) -> Made:
    """A uniform draw from a space."""
    return space, space.sample(torch.Generator().manual_seed(0)), skeleton


def staged(text: str) -> Made:
    """A cell in the skeleton of NAS-Bench-201."""
    space = NasBench201Space()
    return space, space.parse(text), StagedSkeleton()


NETWORKS: dict[str, Callable[[], Made]] = {
    "DARTS_V2": lambda: (*published("DARTS_V2"), CellSkeleton(36, cells=20, auxiliary=True)),
    "GDAS_V1": lambda: (*published("GDAS_V1"), CellSkeleton(36, cells=20, auxiliary=True)),
    "GDAS_F1": lambda: (*published("GDAS_F1"), CellSkeleton(40, cells=20)),
    "NASNET_A": lambda: (*published("NASNET_A"), CellSkeleton(32, cells=20)),
    "ENAS micro": lambda: drawn(EnasMicroSpace(), CellSkeleton(36, cells=17)),
    "ENAS macro": lambda: drawn(EnasMacroSpace(), MacroSkeleton(merge="concatenate", growth=2)),
    "NAS-Bench-201": lambda: staged(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    ),
    "chain": lambda: drawn(ConvChainSpace(), ChainSkeleton(36)),
}
"""Final networks of every space, most of them with their sizes for CIFAR-10."""


class TrainingSide:
    """One network and its training step on a fixed batch."""

    def __init__(self, mode: Mode, name: str, sizes: argparse.Namespace, device: torch.device) -> None:
        torch.manual_seed(sizes.seed)
        training = NetworkTraining(*NETWORKS[name](), execution=Execution(mode)).to(device).train()
        self.network, self.task, self.clip = training.network, training.task, training.clip or 0.0
        for module in self.network.modules():
            if isinstance(module, DropPath):
                module.probability = DROP_PATH
        self.weights = list(self.network.parameters())
        if mode == "fan_out":
            self.optimizer = training.optimizer.build(self.weights)
        else:
            self.optimizer = torch.optim.SGD(self.weights, Sgd.lr, momentum=Sgd.momentum, weight_decay=Sgd.weight_decay)
        shape = (sizes.batch, 3, sizes.size, sizes.size)
        self.batch = torch.randn(shape, device=device), torch.randint(10, (sizes.batch,), device=device)

    def step(self) -> None:
        """Forward, loss, backward, clipping, SGD: the order in which Lightning does it."""
        loss = self.task.loss(self.network(self.task.inputs(self.batch)), self.batch)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, self.clip)
        self.optimizer.step()
