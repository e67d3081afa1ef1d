"""Whether an exported network says what the original says."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lightning_nas.data.description import InputDescription
from lightning_nas.export.errors import ExportError
from lightning_nas.export.formats import Run
from lightning_nas.export.network import ExportedNetwork
from lightning_nas.training import NetworkTraining

TOLERANCE = 1e-4
_CHUNK = 25


def expected(training: NetworkTraining, images: Tensor, with_softmax: bool) -> Tensor:
    """Outputs of the original network in eval mode; its modes are restored."""
    modes = {module: module.training for module in training.network.modules()}
    dtype = next(training.network.parameters()).dtype
    training.network.eval()
    try:
        with torch.no_grad():
            logits = training(images.to(training.device, dtype)).float().cpu()
    finally:
        for module, mode in modes.items():
            module.training = mode
    return logits.softmax(-1) if with_softmax else logits


def largest_difference(
    run: Run,
    training: NetworkTraining,
    images: Tensor,
    network: ExportedNetwork,
    description: InputDescription,
    batch_size: int | None,
) -> float:
    """Between the outputs of a file and those of the training, over all images.

    Args:
        run: runs the file.
        training: the original.
        images: (N, C, H, W), normalised.
        network: what was exported.
        description: gives the normalisation.
        batch_size: the one that the file takes; None: any, so one image alone is tried as well.

    Raises:
        ExportError: they differ by more than the tolerance.
    """
    chunks = list(torch.split(images, batch_size or _CHUNK)) + ([images[:1]] if batch_size is None else [])
    largest = 0.0
    for chunk in chunks:
        wanted, given = expected(training, chunk, network.with_softmax), chunk
        if network.with_normalisation:
            mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (description.mean, description.std))
            given = chunk * std + mean
        with torch.no_grad():
            found = run(given.contiguous())
        difference = float((found - wanted).abs().max()) if found.shape == wanted.shape else math.inf
        largest = max(largest, difference) if math.isfinite(difference) else math.inf
        bound = TOLERANCE * max(1.0, float(wanted.abs().max()))  # float32 has seven digits
        if not difference <= bound:
            raise ExportError(
                f"The exported network differs from the original by {difference:.2g}, more than {bound:.2g}. Nothing "
                "was written. Try another --opset or --format, or --batch-size."
            )
    return largest
