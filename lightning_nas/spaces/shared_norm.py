"""Norms of several edges on one tensor, computed once."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas.skeleton import BatchNorm


def uses_batch(norm: BatchNorm) -> bool:
    """Whether a norm, as it is set now, normalises with the statistics of the batch."""
    return norm.training or norm.use_batch_statistics or not norm.track_running_stats


def shared_norm(norms: Sequence[BatchNorm], x: Tensor) -> Tensor:
    """What affine-free norms that use the batch's statistics all give for x (B, C, h, w).

    Each keeps its own running statistics and moves them, as if it had been called.
    """
    first = norms[0]
    if not first.training or not first.track_running_stats:
        return F.batch_norm(x, None, None, training=True, eps=first.eps)
    # A momentum of 1 writes the batch's own mean and unbiased variance into the two buffers.
    mean, var = torch.zeros_like(_buffer(first.running_mean)), torch.ones_like(_buffer(first.running_var))
    output = F.batch_norm(x, mean, var, training=True, momentum=1.0, eps=first.eps)
    assert first.momentum is not None
    with torch.no_grad():
        torch._foreach_lerp_([_buffer(n.running_mean) for n in norms], [mean] * len(norms), first.momentum)
        torch._foreach_lerp_([_buffer(n.running_var) for n in norms], [var] * len(norms), first.momentum)
        torch._foreach_add_([_buffer(n.num_batches_tracked) for n in norms], 1)
    return output


def _buffer(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
