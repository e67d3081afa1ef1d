"""What a path of a trained supernet is worth, without training it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lightning_nas.architecture.edges import Architecture
from lightning_nas.execution.norm import batch_statistics
from lightning_nas.inheritance.recalibration import recalibrate
from lightning_nas.networks.skeleton import NetworkOutput, Skeleton
from lightning_nas.training.task import Task

Statistics = Literal["batch", "running", "recalibrated"]
"""What a path's norms normalise with: each batch's own statistics, the supernet's running ones, which are a mixture of
all paths, or running ones computed anew for the path."""


class Path(nn.Module):
    """One path of a supernet, as a network of its own that shares the weights.

    Args:
        supernet: takes images and an architecture.
        architecture: the one to run.
    """

    def __init__(self, supernet: nn.Module, architecture: Architecture) -> None:
        super().__init__()
        self.supernet, self.architecture = supernet, architecture

    def forward(self, images: Tensor) -> NetworkOutput:
        output: NetworkOutput = self.supernet(images, self.architecture)
        return output


@contextmanager
def evaluating(supernet: nn.Module, statistics: Statistics) -> Iterator[None]:
    """Within it the supernet is in eval mode, and its buffers may be changed; then all is as before."""
    modes = {module: module.training for module in supernet.modules()}
    kept = [buffer.clone() for buffer in supernet.buffers()] if statistics == "recalibrated" else []
    supernet.eval()
    try:
        if statistics == "batch":
            with batch_statistics(supernet):
                yield
        else:
            yield
    finally:
        for module, training in modes.items():
            module.training = training
        for buffer, before in zip(supernet.buffers(), kept, strict=False):
            buffer.copy_(before)


@torch.no_grad()
def score_path(
    path: Path,
    batches: Sequence[Any],
    task: Task,
    skeleton: Skeleton,
    inputs: Callable[[Any], Tensor],
    training: Sequence[Any] = (),
) -> Tensor:
    """Metric of a path on validation batches, a scalar on the device; call it within `evaluating`.

    Args:
        path: what is scored.
        batches: validation batches.
        task: metric.
        skeleton: of the supernet.
        inputs: what of a batch goes into the network.
        training: training batches that the running statistics are computed on first; none leaves them.
    """
    if training:
        recalibrate(path, training, inputs)
    with next(path.parameters()).device:  # made there: to move each of its states would wait for the device
        metric = task.metric(skeleton, sync=False)
    for batch in batches:
        task.update(metric, path(inputs(batch)), batch)
    found: Tensor = metric.compute()
    return found
