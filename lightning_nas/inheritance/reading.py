"""Sources from files, and training batches that leave the fit's own alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_helpers import is_overridden
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from lightning_nas.inheritance.transfer import Source

_NETWORKS = ("network", "supernet")
"""What a training and a search call their network."""


def network_of(pl_module: LightningModule) -> tuple[nn.Module, bool]:
    """The network that a module trains, and whether it is a supernet.

    Raises:
        MisconfigurationException: it has none under a name that is known.
    """
    for name in _NETWORKS:
        network = getattr(pl_module, name, None)
        if isinstance(network, nn.Module):
            return network, name == "supernet"
    raise MisconfigurationException(
        f"WeightInheritance: {type(pl_module).__name__} has neither a `network` nor a `supernet` that could inherit. "
        "Remove the callback, or train a NetworkTraining or a search of supernets."
    )


def read_source(path: str | Path) -> Source:
    """The network in a checkpoint of a `NetworkTraining`, in one of a search, or in a file of a `WeightStore`.

    Raises:
        ValueError: no such file, or it holds no network.
    """
    what = f"WeightInheritance(sources=[{str(path)!r}])"
    if not Path(path).is_file():
        raise ValueError(f"{what}: no such file. Give checkpoints, or files of a WeightStore.")
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    for name in _NETWORKS:
        found = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
        if found:
            return Source(str(path), found, mixture=name == "supernet")
    if "state_dict" in content or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(
            f"{what} holds no network: give a checkpoint of a NetworkTraining or of a search of supernets."
        )
    return Source(str(path), state)


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


@contextmanager
def kept_random_numbers(trainer: Trainer) -> Iterator[None]:
    """Leaves all random numbers of the fit as they are: the global ones, and those of its loader and sampler."""
    loader = trainer.train_dataloader
    owners = [loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    found = [getattr(owner, "generator", None) for owner in owners]
    states = [(source, source.get_state()) for source in found if isinstance(source, torch.Generator)]
    with isolate_rng():
        try:
            yield
        finally:
            for source, state in states:
                source.set_state(state)
