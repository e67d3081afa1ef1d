"""The networks that costs are taken of, on the meta device: shapes without numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import Tensor, nn

from lightning_nas.edge import EdgeWeights
from lightning_nas.skeleton import CellSkeleton, Skeleton
from lightning_nas.space import SupernetSpace


def deployed(skeleton: Skeleton) -> Skeleton:
    """The skeleton of the network in use: without the auxiliary head, which is there for training only.

    Example:
        >>> deployed(CellSkeleton(auxiliary=True)).auxiliary
        False
    """
    return replace(skeleton, auxiliary=False) if isinstance(skeleton, CellSkeleton) else skeleton


def as_in_children(skeleton: Skeleton) -> Skeleton:
    """The skeleton under which a supernet's candidates are those of children: norms alike, run one by one."""
    norm = skeleton.edge_norm(supernet=False)
    same = replace(skeleton, norm=norm, execution="edge_by_edge", checkpoint_cells=False)
    return replace(same, pool_norm=same.with_pool_norm(supernet=False)) if isinstance(same, CellSkeleton) else same


def supernet_on_meta(space: SupernetSpace, skeleton: Skeleton) -> nn.Module:
    """The supernet with the candidates of children, in eval mode."""
    with torch.device("meta"):
        return space.build(None, as_in_children(skeleton)).eval()


def on_meta(*shape: int) -> Tensor:
    """A tensor that has a shape only."""
    return torch.empty(shape, device="meta")


def every_candidate(space: SupernetSpace) -> dict[str, EdgeWeights]:
    """An architecture that runs all candidates."""
    return {name: EdgeWeights(on_meta(*group.shape)) for name, group in space.groups.items()}


@contextmanager
def named_calls(network: nn.Module) -> Iterator[list[str]]:
    """Within it, the names of the modules that run now, the innermost last; the network itself has the name ''."""
    running: list[str] = []
    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(lambda _module, _inputs, name=name: running.append(name)))
        handles.append(module.register_forward_hook(lambda *_: running.pop() and None, always_call=True))
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()
