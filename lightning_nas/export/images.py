"""The images on which an exported network is compared with the original."""

from __future__ import annotations

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from lightning_nas.data.description import InputDescription
from lightning_nas.export.errors import ExportError
from lightning_nas.functional.seeding import generator
from lightning_nas.task import Task


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
