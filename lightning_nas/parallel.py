"""Averages over the processes of a run, one message for many tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor, nn


def average_tensors(tensors: Sequence[Tensor], strategy: Strategy) -> list[Tensor]:
    """The mean of each tensor over all processes, in one all-reduce; the tensors themselves on one process.

    Args:
        tensors: floating, all of one dtype and device, of the same shapes on every process.
        strategy: the trainer's.
    """
    tensors = list(tensors)
    if getattr(strategy, "world_size", 1) == 1 or not tensors:
        return tensors
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
    flat = strategy.reduce(flat, reduce_op="mean")
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def average_buffers(module: nn.Module, strategy: Strategy) -> None:
    """Make floating buffers, such as running statistics, their mean over all processes."""
    buffers = [buffer for buffer in module.buffers() if buffer.is_floating_point()]
    for buffer, mean in zip(buffers, average_tensors(buffers, strategy), strict=True):
        buffer.copy_(mean)
