"""One of two processes whose norms share their statistics, run by test_synchronized_norms.py as a script.

Each case runs three times: on shares of the images with shared norms, then with norms of their own, and on all images.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from lightning_nas import CellSkeleton, EdgeWeights, Norm, Skeleton, StagedSkeleton, SupernetSpace
from lightning_nas.execution import Execution
from lightning_nas.execution.norm import synchronize
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import DartsSpace, EnasMacroSpace, MacroSkeleton, NasBench201Space, NasnetSpace

Found = dict[str, Tensor]
RANKS = 2
SMALL = {"channels": 4, "in_channels": 1, "classes": 3}
SEARCHED, CHILDREN = Norm(affine=False, sync=True), Norm(sync=True)
CELLS = {**SMALL, "cells": 3, "norm": SEARCHED}
SUPERNETS: dict[str, tuple[SupernetSpace, Skeleton, Execution]] = {
    "darts": (DartsSpace(nodes=2), CellSkeleton(**CELLS), Execution()),
    "darts, edge by edge": (
        DartsSpace(nodes=2),
        CellSkeleton(**CELLS),
        Execution("edge_by_edge"),
    ),
    "darts, checkpoints": (DartsSpace(nodes=2), CellSkeleton(**CELLS), Execution(checkpoint_cells=True)),
    "nasbench201": (
        NasBench201Space(),
        StagedSkeleton(**SMALL, cells_per_stage=1, norm=Norm(affine=False, statistics="batch", sync=True)),
        Execution(),
    ),
    "nasnet": (NasnetSpace(blocks=2), CellSkeleton(cells=3, **SMALL, norm=CHILDREN), Execution()),
    "enas macro": (EnasMacroSpace(layers=4), MacroSkeleton(**SMALL, norm=CHILDREN), Execution()),
}


def share(x: Tensor) -> Tensor:
    return x[distributed.get_rank() :: RANKS]


def averaged(found: Found) -> Found:
    total = torch.cat([value.detach().flatten() for value in found.values()])
    distributed.all_reduce(total)
    parts = (total / RANKS).split([value.numel() for value in found.values()])
    return {name: part.view(value.shape) for (name, value), part in zip(found.items(), parts, strict=True)}


def buffers(network: nn.Module) -> Found:
    return {name: value.clone() for name, value in network.named_buffers() if value.is_floating_point()}


def norm(momentum: float | None, shares: tuple[int, ...]) -> Callable[[str], Found]:
    """A norm on unequal shares, first and second derivatives of the sum of all losses."""
    source = generator(0, "norm")
    x = 3.0 + torch.randn(sum(shares), 4, 2, 3, generator=source, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last)
    goal, direction = (torch.randn(x.shape, generator=source, dtype=torch.float64) for _ in range(2))
    rank = distributed.get_rank()
    mine = slice(sum(shares[:rank]), sum(shares[: rank + 1]))

    def run(how: str) -> Found:
        torch.manual_seed(0)
        module = Norm(sync=True).build(4).double()
        module.momentum = momentum
        nn.init.normal_(module.weight)
        synchronize(module, how == "together")
        part = slice(None) if how == "whole" else mine
        images = x[part].clone().requires_grad_()
        for _ in range(2):  # the second batch is averaged with the first
            output = module(images)
        loss = (output * goal[part]).square().sum()
        first = torch.autograd.grad(loss, [images, module.weight, module.bias], create_graph=True)
        along = (first[0] * direction[part]).sum()
        second = torch.autograd.grad(along, [images, module.weight, module.bias])
        seen = slice(None) if how != "whole" else mine
        found = {"output": output[seen].detach(), "of x": first[0][seen].detach(), "again of x": second[0][seen]}
        weights = {"of weight": first[1], "of bias": first[2], "again of weight": second[1], "again of bias": second[2]}
        weights = {name: value.detach() for name, value in weights.items()}
        if how != "whole":
            weights = {name: RANKS * value for name, value in averaged(weights).items()}  # sums of losses, not means
        return found | weights | buffers(module)

    return run


def supernet(name: str, sparse: bool) -> Callable[[str], Found]:
    """A supernet with all candidates or on a path: what a search averages by itself."""
    space, skeleton, execution = SUPERNETS[name]
    source = generator(0, name)
    x = torch.randn(6, 1, 16, 16, generator=source, dtype=torch.float64)
    y = torch.randint(3, (6,), generator=source)
    architecture = space.path(space.sample(source)) if sparse else {}
    for group, edges in space.groups.items() if not sparse else ():
        architecture[group] = EdgeWeights(torch.randn(edges.shape, generator=source, dtype=torch.float64).softmax(-1))
    if sparse:
        architecture = {group: EdgeWeights(w.values.double(), w.active) for group, w in architecture.items()}

    def run(how: str) -> Found:
        torch.manual_seed(0)
        network = space.build(None, skeleton, execution).double()
        synchronize(network, how == "together")
        images, labels = (x, y) if how == "whole" else (share(x), share(y))
        output = network(images, architecture).logits
        weights = dict(network.named_parameters())
        gradients = torch.autograd.grad(F.cross_entropy(output, labels), list(weights.values()), allow_unused=True)
        found = {key: value for key, value in zip(weights, gradients, strict=True) if value is not None}
        found = found if how == "whole" else averaged(found)
        return found | buffers(network) | {"output": share(output).detach() if how == "whole" else output.detach()}

    return run


def child(name: str) -> Callable[[str], Found]:
    """A network of one genotype under torch's DDP."""
    space, skeleton, execution = SUPERNETS[name]
    source = generator(1, name)
    genotype = space.sample(source)
    x = torch.randn(6, 1, 16, 16, generator=source, dtype=torch.float64)
    y = torch.randint(3, (6,), generator=source)

    def run(how: str) -> Found:
        torch.manual_seed(0)
        network = space.build(genotype, skeleton, execution).double()
        synchronize(network, how == "together")
        images, labels = (x, y) if how == "whole" else (share(x), share(y))
        model = network if how == "whole" else DistributedDataParallel(network)
        output = model(images).logits
        F.cross_entropy(output, labels).backward()
        found = {key: value.grad for key, value in network.named_parameters() if value.grad is not None}
        # without synchronisation each process has its own
        found |= buffers(network)
        return found | {"output": share(output).detach() if how == "whole" else output.detach()}

    return run


def main(folder: str) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ["LOCAL_RANK"])
    distributed.init_process_group("gloo", rank=rank, world_size=RANKS)
    cases: dict[str, Callable[[str], Found]] = {
        "norm": norm(0.1, (3, 2)),
        "norm, mean of all batches": norm(None, (3, 2)),
        "norm, one image here": norm(0.1, (1, 4)),
        **{f"{name} supernet": supernet(name, sparse=False) for name in SUPERNETS},
        **{f"{name} path": supernet(name, sparse=True) for name in SUPERNETS},
        **{f"{name} child": child(name) for name in SUPERNETS if "," not in name},
    }
    found = {case: {how: run(how) for how in ("together", "alone", "whole")} for case, run in cases.items()}
    torch.save(found, Path(folder) / f"rank{rank}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
