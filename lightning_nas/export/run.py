"""`export_network`: checked before, compared behind, and only then written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning as L
import torch
from torch import Tensor

from lightning_nas.data.description import InputDescription, describe
from lightning_nas.export.checks import check_place, format_of, image_shape, known_of, largest_difference, metadata_of
from lightning_nas.export.formats import ExportError, Format, Onnx, Run
from lightning_nas.export.network import ExportedNetwork, data_images, load_training, random_images
from lightning_nas.runtime.files import expanded, write_atomically
from lightning_nas.training.network import NetworkTraining


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Args:
        path: the file.
        side_file: the JSON file beside an ONNX file.
        metadata: what travels with the network.
        difference: the largest between outputs of the file and of the original.
        images: how many images they were compared on.
        real: whether these are images of the data.
    """

    path: Path
    side_file: Path | None
    metadata: dict[str, Any]
    difference: float
    images: int
    real: bool


def export_network(
    source: NetworkTraining | str | Path,
    output: str | Path,
    *,
    format: Literal["onnx", "torch"] | None = None,
    data: L.LightningDataModule | None = None,
    description: InputDescription | None = None,
    opset: int | None = None,
    batch_size: int | None = None,
    with_normalisation: bool = False,
    with_softmax: bool = False,
    check_images: int = 100,
) -> ExportReport:
    """Write a trained network as ONNX or as a `torch.export` program, after a comparison with the original.

    Size, normalisation and class names come from `description`, else from `data`, else from the checkpoint. The file is
    run and must agree with the original to 1e-4, relative to its largest output where that is above 1. An ONNX file
    has a JSON file of the same name beside it.

    Args:
        source: a checkpoint of `NetworkTraining`, or the module itself.
        output: file to write; it must not exist.
        format: "onnx" or "torch"; None: by the name of `output`, `.onnx` or `.pt2`.
        data: data module whose images the networks are compared on; None: seeded random images.
        description: what to say instead of the data and the checkpoint.
        opset: operator set of ONNX; None: 18.
        batch_size: the number of images that the file takes at a time; None: any.
        with_normalisation: the file takes images in [0, 1]; else normalised ones, as the network itself.
        with_softmax: the file gives probabilities; else logits.
        check_images: number of images to compare on.

    Raises:
        ExportError: it cannot be done, or the outputs differ. Nothing was written.

    Example:
        >>> import tempfile
        >>> from lightning_nas import CellSkeleton
        >>> from lightning_nas.spaces import published
        >>> training = NetworkTraining(*published("DARTS_V2"), CellSkeleton(cells=1, channels=2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     size = InputDescription(size=(8, 8))
        ...     report = export_network(training, f"{folder}/network.pt2", description=size, check_images=4)
        >>> report.difference < 1e-4
        True
    """
    if batch_size is not None and batch_size < 1:
        raise ExportError(f"batch_size={batch_size}: give at least 1, or leave it out for any.")
    if check_images < 1:
        raise ExportError(f"check_images={check_images}: give at least 1.")
    path = expanded(output)
    kind = format_of(path, format, opset)
    side_file = path.with_name(f"{path.stem}.json") if isinstance(kind, Onnx) else None
    check_place(path, side_file)
    kind.check()
    training, known = (source, known_of(source)) if isinstance(source, NetworkTraining) else load_training(source)
    for further in (InputDescription() if data is None else describe(data), known):
        description = (description or InputDescription()).filled(further)
    assert description is not None
    shape = image_shape(training, description, with_normalisation)

    count = check_images if batch_size is None else -(-check_images // batch_size) * batch_size
    images = random_images(shape, description, count) if data is None else data_images(data, training.task, count)
    if batch_size is not None:  # whole batches, of repeated images where there are too few
        images = images[torch.arange(count) % len(images)]
    metadata = metadata_of(training, description, kind, batch_size, with_normalisation, with_softmax)
    network = ExportedNetwork(training, description, with_normalisation, with_softmax)
    content, run = _convert(kind, network, torch.zeros(batch_size or 2, *shape), batch_size is None, metadata)
    difference = largest_difference(run, training, images, network, description, batch_size)
    if side_file is not None:
        write_atomically(side_file, json.dumps(metadata, indent=2) + "\n")
    write_atomically(path, content)
    return ExportReport(path, side_file, metadata, difference, len(images), data is not None)


def _convert(
    kind: Format, network: ExportedNetwork, example: Tensor, dynamic: bool, metadata: dict[str, Any]
) -> tuple[bytes, Run]:
    """Content of the file, and what runs it."""
    try:
        content = kind.convert(network, example, dynamic, metadata)
        return content, kind.load(content)
    except ExportError:
        raise
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        hint = " If it needs a known number of images, give --batch-size." if dynamic else ""
        raise ExportError(
            f"The network cannot be exported: {type(error).__name__}: {' '.join(lines[:2])[:400]}.{hint}"
        ) from error
