"""The norm that every network uses, and how it is built; there is no other home for norms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F

from lightning_nas.config import Configurable
from lightning_nas.functional.normalization import normalize_together


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that can be made to use the batch's own statistics without touching the running ones."""

    use_batch_statistics = False
    sync = False
    """Whether it is to share its statistics where several processes train."""
    synchronized = False
    """Whether several processes train now, all of which run this norm: see `synchronize`."""

    def forward(self, input: Tensor) -> Tensor:
        if self.synchronized and self.training:
            output, mean, invstd, count = normalize_together(input, self.weight, self.bias, self.eps)
            if self.track_running_stats:
                self.move_statistics(mean, (invstd.pow(-2) - self.eps) * count / (count - 1))
            return output
        if self.use_batch_statistics and not self.training:
            return F.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)
        return super().forward(input)

    @torch.no_grad()
    def move_statistics(self, mean_C: Tensor, variance_C: Tensor) -> None:
        """Move the running statistics towards those of a batch; without momentum they are the mean over all batches.

        Args:
            mean_C: of the batch.
            variance_C: that of a sample, as everywhere in torch.
        """
        mean, variance, seen = self.running_mean, self.running_var, self.num_batches_tracked
        assert mean is not None
        assert variance is not None
        assert seen is not None
        seen.add_(1)
        momentum = 1.0 / seen.to(mean.dtype) if self.momentum is None else self.momentum
        mean.lerp_(mean_C.to(mean.dtype), momentum)
        variance.lerp_(variance_C.to(variance.dtype), momentum)


def synchronize(network: nn.Module, on: bool) -> None:
    """From now on norms built by `Norm(sync=True)` train with the batches of all processes, or with their own again.

    Every search and training here does it at both ends of its training. In a loop of your own, do it on every process
    around the steps, all of which have to run the same norms. In eval mode nothing is shared, nor on one process.

    Args:
        network: as a whole or a part.
        on: whether they share.
    """
    several = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
    for module in network.modules():
        if isinstance(module, BatchNorm):
            module.synchronized = on and several and module.sync


@contextmanager
def batch_statistics(network: nn.Module) -> Iterator[None]:
    """Within it, a network in eval mode normalises with the statistics of each batch.

    A path of a supernet needs it: the running statistics describe the mixture of all candidates.
    """
    norms = [module for module in network.modules() if isinstance(module, BatchNorm)]
    try:
        for norm in norms:
            norm.use_batch_statistics = True
        yield
    finally:
        for norm in norms:
            norm.use_batch_statistics = False


@dataclass(frozen=True)
class Norm(Configurable):
    """How the norms of edges and preprocessing are built; the stem's and the last one always have scale and shift.

    Args:
        affine: learn scale and shift.
        statistics: in eval mode use the running statistics, or those of the batch.
        sync: where several processes train one network, normalise with the statistics of all their batches; on CPUs
            and GPUs alike, and without effect on one process and in eval mode.
    """

    affine: bool = True
    statistics: Literal["running", "batch"] = "running"
    sync: bool = False

    def build(self, channels: int) -> BatchNorm:
        """A norm over (B, channels, H, W)."""
        norm = BatchNorm(channels, affine=self.affine, track_running_stats=self.statistics == "running")
        norm.sync = self.sync
        return norm
