"""Checks before an export, and the comparison after it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

import lightning_nas
from lightning_nas.data.description import InputDescription, describe
from lightning_nas.export.formats import DEFAULT_OPSET, ExportError, Format, Onnx, Run, Torch
from lightning_nas.export.network import ExportedNetwork
from lightning_nas.training.network import NetworkTraining
from lightning_nas.training.task import check_classes, check_images


def format_of(path: Path, name: str | None, opset: int | None) -> Format:
    """The format by its name, else by the ending of the file; both have to agree."""
    suffixes = {".onnx": "onnx", ".pt2": "torch"}
    name = name or suffixes.get(path.suffix)
    if name not in ("onnx", "torch"):
        raise ExportError(f"output={str(path)!r}: give a name that ends in .onnx or .pt2, or format 'onnx' or 'torch'.")
    if suffixes.get(path.suffix, name) != name:
        raise ExportError(f"output={str(path)!r} has the ending of the other format than format={name!r}: change one.")
    if name == "torch" and opset is not None:
        raise ExportError(f"opset={opset} is for ONNX: leave it out for {str(path)!r}.")
    return Torch() if name == "torch" else Onnx(DEFAULT_OPSET if opset is None else opset)


def check_place(path: Path, side_file: Path | None) -> None:
    """Refuse a folder that is missing and files that exist."""
    if not path.parent.is_dir():
        raise ExportError(f"output={str(path)!r}: the folder {str(path.parent)!r} does not exist. Make it first.")
    for file in (path, side_file):
        if file is not None and file.exists():
            raise ExportError(f"output={str(path)!r}: {str(file)!r} exists already. Give another name, or remove it.")


def known_of(training: NetworkTraining) -> InputDescription:
    """What the data of a module's trainer says, if it has one."""
    trainer = training._trainer
    return InputDescription() if trainer is None else describe(trainer.datamodule)  # type: ignore[attr-defined]


def image_shape(
    training: NetworkTraining, described: InputDescription, with_normalisation: bool
) -> tuple[int, int, int]:
    """(C, H, W) of the images that the file takes; refuses a description that does not fit the network."""
    skeleton = training.skeleton
    if described.size is None:
        raise ExportError(
            "size=None: the checkpoint does not say how large its images are. Give --size HEIGHTxWIDTH, or the "
            "training's data with --config."
        )
    if with_normalisation and described.mean is None:
        raise ExportError(
            "with_normalisation: the checkpoint does not say how its images were normalised. Give --mean and --std, or "
            "the training's data with --config."
        )
    channels = skeleton.in_channels if described.mean is None else len(described.mean)
    shape = (channels, *described.size)
    try:
        check_images(skeleton, shape)
        if described.class_names is not None:
            check_classes(skeleton, len(described.class_names))
    except MisconfigurationException as error:
        raise ExportError(str(error)) from error
    return shape


def metadata_of(
    training: NetworkTraining,
    described: InputDescription,
    kind: Format,
    batch_size: int | None,
    with_normalisation: bool,
    with_softmax: bool,
) -> dict[str, Any]:
    """The plain data that travels with the network."""
    return {
        "producer": f"lightning-nas {lightning_nas.__version__}",
        **described.to_dict(),
        "channels": training.skeleton.in_channels,
        "layout": "NCHW",
        "batch_size": batch_size,
        "normalisation": "in the network" if with_normalisation else "before the network",
        "softmax": with_softmax,
        **({"opset": kind.opset} if isinstance(kind, Onnx) else {}),
        "genotype": training.genotype.to_dict(),
    }


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
