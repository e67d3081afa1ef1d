"""Recalibration of batch-norm running statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, IterableDataset

from lightning_nas.execution.norm import BatchNorm


def recalibrate(network: nn.Module, batches: Iterable[Any], inputs: Callable[[Any], Tensor]) -> int:
    """Compute the running statistics of a network's norms anew, as means over batches.

    Source: Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020.

    Norms normalise with each batch's statistics meanwhile, everything else runs in eval mode. Norms that take no part
    keep what they had. Modes and momenta are restored, and no gradient is computed.

    Args:
        network: its norms are changed in place.
        batches: training batches, a few dozen.
        inputs: what of a batch goes into the network.

    Returns:
        The number of batches.

    Example:
        >>> network = nn.Sequential(nn.BatchNorm2d(1))
        >>> recalibrate(network, [torch.full((2, 1, 3, 3), value) for value in (1.0, 3.0)], lambda batch: batch)
        2
        >>> network[0].running_mean, network[0].momentum
        (tensor([2.]), 0.1)
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    modes = {module: module.training for module in network.modules()}
    momenta = [norm.momentum for norm in norms]
    shared = [norm for norm in norms if isinstance(norm, BatchNorm) and norm.synchronized]
    states = [{name: value.clone() for name, value in norm.named_buffers(recurse=False)} for norm in norms]
    count = 0
    try:
        network.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a mean over all batches instead of an exponential one
            norm.training = True
        for norm in shared:
            norm.synchronized = False  # other processes may have other batches, or none
        with torch.no_grad():
            for count, batch in enumerate(batches, start=1):  # noqa: B007 - the last one is the number of batches
                network(inputs(batch))
    finally:
        for module, training in modes.items():
            module.training = training
        for norm in shared:
            norm.synchronized = True
        for norm, momentum, state, used in zip(norms, momenta, states, _took_part(norms), strict=True):
            norm.momentum = momentum
            if not used:
                for name, value in state.items():
                    getattr(norm, name).copy_(value)
    return count


def _took_part(norms: Sequence[_BatchNorm]) -> list[bool]:
    """Whether each norm has seen a batch, in one copy to the host."""
    seen = [norm.num_batches_tracked for norm in norms if norm.num_batches_tracked is not None]
    return [count > 0 for count in torch.stack(seen).tolist()] if seen else []


def training_batches(trainer: Trainer, pl_module: LightningModule, count: int) -> Iterator[Any]:
    """Up to `count` training batches on the device, from a loader beside the fit's, in this process.

    Raises:
        MisconfigurationException: the training data cannot be read a second time.
    """
    given = trainer.train_dataloader
    loader = getattr(given, "training", given)  # where an epoch has phases, that of the weights
    if not isinstance(loader, DataLoader) or isinstance(loader.dataset, IterableDataset):
        raise MisconfigurationException(
            f"WeightInheritance(recalibrate={count}): the training data is a {type(loader).__name__} that can be read "
            "only once. Give one DataLoader over a data set of known length, or set recalibrate=0."
        )
    order: dict[str, Any] = {"sampler": loader.sampler, "batch_size": None}
    if loader.batch_sampler is not None:
        order = {"batch_sampler": loader.batch_sampler}
    # one of its own: the fit has begun to iterate over the first one, whose workers may serve one iterator only
    beside = DataLoader(loader.dataset, collate_fn=loader.collate_fn, generator=torch.Generator(), **order)
    data = trainer.datamodule  # type: ignore[attr-defined]
    overridden = data is not None and is_overridden("on_before_batch_transfer", data, LightningDataModule)
    before = (data if overridden else pl_module).on_before_batch_transfer
    for batch in islice(beside, count):
        batch = before(trainer.precision_plugin.convert_input(batch), 0)
        yield trainer.strategy.batch_to_device(batch, dataloader_idx=0)
