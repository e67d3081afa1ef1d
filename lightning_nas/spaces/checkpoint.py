"""Cells whose inner states are computed again in the backward pass instead of being kept for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lightning_nas.skeleton import Skeleton


def run_cell(cell: nn.Module, skeleton: Skeleton, *inputs: Any) -> Tensor:
    """What a cell gives; with `checkpoint_cells` only its inputs are kept for the backward pass.

    Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016. The function, its gradients and running
    statistics are the same: the second pass draws the same random numbers and leaves the statistics alone.
    """
    if not (skeleton.checkpoint_cells and cell.training and torch.is_grad_enabled()):
        return cast(Tensor, cell(*inputs))

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), _kept_buffers(cell)

    return cast(Tensor, checkpoint(cell, *inputs, use_reentrant=False, context_fn=contexts))


@contextmanager
def _kept_buffers(module: nn.Module) -> Iterator[None]:
    buffers = list(module.buffers())
    saved = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            torch._foreach_copy_(buffers, saved)
