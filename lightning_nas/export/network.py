"""What is exported: a training from its checkpoint, the part that leaves it, and images to compare with."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from lightning_nas.data.description import InputDescription
from lightning_nas.execution.settings import Execution
from lightning_nas.export.formats import ExportError
from lightning_nas.runtime.files import expanded
from lightning_nas.runtime.seeding import generator
from lightning_nas.training.network import NetworkTraining
from lightning_nas.training.task import Task


class ExportedNetwork(nn.Module):
    """Images to logits, or to probabilities, without what only training needs.

    Args:
        training: the training; it stays as it is.
        description: gives the normalisation.
        with_normalisation: take images in [0, 1].
        with_softmax: give probabilities.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, training: NetworkTraining, description: InputDescription, with_normalisation: bool, with_softmax: bool
    ) -> None:
        super().__init__()
        self.with_normalisation, self.with_softmax = with_normalisation, with_softmax
        if with_normalisation:
            assert description.mean is not None, "checked before"
            assert description.std is not None, "checked before"
            self.register_buffer("mean", torch.tensor(description.mean).view(1, -1, 1, 1))
            self.register_buffer("std", torch.tensor(description.std).view(1, -1, 1, 1))
        self.network = plain_network(training)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        if self.with_normalisation:
            images = (images - self.mean) / self.std
        logits: Tensor = self.network(images).logits
        return logits.softmax(-1) if self.with_softmax else logits


def plain_network(training: NetworkTraining) -> nn.Module:
    """The network once more in float32, without auxiliary head, run edge by edge.

    What a network does for the speed of one device, such as another memory layout, has no place in a file for any.
    """
    skeleton = training.skeleton
    if getattr(skeleton, "auxiliary", False):
        skeleton = replace(skeleton, auxiliary=False)  # type: ignore[call-arg]
    network = training.space.build(training.genotype, skeleton, Execution("edge_by_edge"))
    trained = training.network.state_dict()
    network.load_state_dict({name: trained[name] for name in network.state_dict()})
    return network.float()


_ARGUMENTS = {"space", "genotype", "skeleton"}
_UNREADABLE = (
    pickle.UnpicklingError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
)
"""What torch raises for files that are cut short, damaged, or of another kind."""


def load_training(path: str | Path) -> tuple[NetworkTraining, InputDescription]:
    """The training that a checkpoint holds, on the CPU, and the description of its images.

    Raises:
        ExportError: no such file, or it holds something else.
    """
    content = _read(path)
    problem = _problem(content)
    if problem is not None:
        raise ExportError(
            f"checkpoint={str(path)!r} is {problem}. Give a checkpoint that the training of a network "
            "(NetworkTraining) has saved."
        )
    try:
        training = NetworkTraining.load_from_checkpoint(expanded(path), map_location="cpu", weights_only=True)
        description = InputDescription.from_dict(content.get("input") or {})
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise ExportError(f"checkpoint={str(path)!r}: the network cannot be built again: {error}") from error
    return training, description


def _read(path: str | Path) -> Any:
    if not expanded(path).is_file():
        raise ExportError(f"checkpoint={str(path)!r}: no such file. Give a checkpoint of a NetworkTraining.")
    try:
        return torch.load(expanded(path), map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        reason = str(error).partition("\n")[0]
        raise ExportError(
            f"checkpoint={str(path)!r} cannot be read as a checkpoint ({type(error).__name__}: {reason[:150]}). Give "
            "one that the training of a network (NetworkTraining) has saved."
        ) from error


def _problem(content: Any) -> str | None:
    """What a file holds instead of a NetworkTraining; None if it holds one."""
    if not isinstance(content, Mapping) or "state_dict" not in content:
        return "no checkpoint of Lightning: it has no state_dict with hyper-parameters beside it"
    names, arguments = set(content["state_dict"]), set(content.get("hyper_parameters") or {})
    if any(name.startswith("supernet.") for name in names) or "evaluator" in arguments:
        return "that of a search. Train the network that it has found first, with `lightning-nas fit`"
    if not arguments >= _ARGUMENTS or not any(name.startswith("network.") for name in names):
        return f"that of another module, with the hyper-parameters {', '.join(sorted(arguments)) or 'none'}"
    return None


def data_images(data: L.LightningDataModule, task: Task, count: int) -> Tensor:
    """The first images of the test set as the network gets them; without one, of the validation set.

    Raises:
        ExportError: the data has neither.
    """
    data.prepare_data()
    try:
        data.setup("test")
        loader = data.test_dataloader()
    except MisconfigurationException:  # no test set
        data.setup("fit")
        loader = data.val_dataloader()
    found: list[Tensor] = []
    for batch in loader if not isinstance(loader, (list, tuple)) else [batch for part in loader for batch in part]:
        found.append(task.inputs(data.on_after_batch_transfer(batch, 0)).float())
        if sum(map(len, found)) >= count:
            break
    if not found:
        raise ExportError(f"{type(data).__name__} has neither test nor validation images to compare networks on.")
    return torch.cat(found)[:count]


def random_images(shape: tuple[int, int, int], description: InputDescription, count: int) -> Tensor:
    """Smooth random images, the same in every call, normalised as the data's are.

    Args:
        shape: (C, H, W).
        description: gives the normalisation; without one they have about mean 0 and deviation 1.
        count: how many.
    """
    channels, height, width = shape
    draws = generator(0, "export")
    coarse = torch.rand(count, channels, max(1, height // 4), max(1, width // 4), generator=draws)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    images = 0.8 * smooth + 0.2 * torch.rand(count, *shape, generator=draws)
    mean, std = (description.mean, description.std) if description.mean else ((0.5,), (0.25,))
    return (images - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)
