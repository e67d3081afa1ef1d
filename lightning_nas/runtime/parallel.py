"""What the processes of a run tell each other: averages, one message for many tensors, and objects."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor, distributed, nn
from torch.utils.hooks import RemovableHandle

T = TypeVar("T")


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


def keep_gradient_strides(parameters: Iterable[nn.Parameter]) -> list[RemovableHandle]:
    """Give gradients the strides of their parameters also where a dimension has one element; remove the handles later.

    Convolutions in channels_last leave the stride of such a dimension as it comes, of which torch's DDP warns.
    """
    return [
        parameter.register_hook(lambda gradient: gradient.flatten().view_as(gradient))  # type: ignore[no-untyped-call]
        for parameter in parameters
        if 1 in parameter.shape and parameter.is_contiguous() and parameter.requires_grad
    ]


class Exchange:
    """Hands objects around between the processes of a run, and measures how long each waits for the others.

    It has a process group of its own: children train for hours, and the default groups give up waiting after minutes.

    Args:
        strategy: the trainer's, with its processes started.
    """

    def __init__(self, strategy: Strategy) -> None:
        self.ranks: int = getattr(strategy, "world_size", 1)
        self.waited = 0.0
        """Seconds that this process has waited for others."""
        self._began = time.perf_counter()
        self._group: Any = None
        if self.ranks > 1:
            self._group = distributed.new_group(backend="gloo", timeout=timedelta(days=365))

    def gather(self, value: T) -> list[T]:
        """The value of every rank, in their order, on every rank."""
        if self.ranks == 1:
            return [value]
        found: list[Any] = [None] * self.ranks
        begin = time.perf_counter()
        distributed.all_gather_object(found, value, group=self._group)
        self.waited += time.perf_counter() - begin
        return found

    def waiting(self) -> list[float]:
        """Share of its time, since the start, that each rank has waited."""
        return self.gather(self.waited / max(time.perf_counter() - self._began, 1e-9))
