"""`lightning-nas export`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import lightning as L
import yaml
from jsonargparse import ArgumentParser, Namespace

import lightning_nas.data  # noqa: F401 - a class is known by its short name once it is imported
from lightning_nas.cli.chain import read_config
from lightning_nas.data.description import InputDescription
from lightning_nas.export.formats import ExportError
from lightning_nas.export.run import ExportReport, export_network


def export_from_command_line(words: Sequence[str]) -> None:
    """Export a network and say what was written; a mistake in the options ends it with one message."""
    parser = _parser()
    options = parser.parse_args(list(words))
    try:
        options.data = _data(parser, options)
        description = _description(options)
        built = parser.instantiate_classes(options)
    except ValueError as error:
        raise error if isinstance(error, ExportError) else ExportError(str(error)) from error
    report = export_network(
        options.checkpoint,
        options.output,
        format=options.format,
        data=built.data,
        description=description,
        opset=options.opset,
        batch_size=options.batch_size,
        with_normalisation=options.with_normalisation,
        with_softmax=options.with_softmax,
        check_images=options.check_images,
    )
    print(_text(report))


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="lightning-nas export",
        description="Write a trained network as ONNX or as a torch.export program, and compare it with the original.",
    )
    parser.add_argument("checkpoint", type=str, help="checkpoint of a NetworkTraining")
    parser.add_argument("--output", type=str, required=True, help="file to write, .onnx or .pt2; it must not exist")
    parser.add_argument("--format", choices=("onnx", "torch"), help="by default that of the output's ending")
    parser.add_argument("--opset", type=int, help="operator set of ONNX, 18 by default")
    parser.add_argument("--batch-size", type=int, help="number of images that the file takes; any by default")
    parser.add_argument("--with-normalisation", action="store_true", help="the file takes images in [0, 1]")
    parser.add_argument("--with-softmax", action="store_true", help="the file gives probabilities, not logits")
    parser.add_argument("--check-images", type=int, default=100, help="images to compare on")
    parser.add_argument("--config", type=str, help="fit config (retrain.yaml) whose data is compared on")
    parser.add_subclass_arguments(L.LightningDataModule, "data", required=False, help="data module, as in a config")
    parser.add_argument("--size", type=str, help="HEIGHTxWIDTH of the images, for checkpoints that do not say")
    parser.add_argument("--mean", type=list[float], help="mean of each channel, such as [0.49,0.48,0.45]")
    parser.add_argument("--std", type=list[float], help="standard deviation of each channel")
    parser.add_argument("--class-names", type=str, help="names of the outputs, such as [cat,dog]; taken as words")
    return parser


def _data(parser: ArgumentParser, options: Namespace) -> Any:
    """What describes the data module: --data, or the `data` of the config."""
    if options.config is None:
        return options.data
    if options.data is not None:
        raise ExportError("--config and --data: give one of them, both name the data.")
    config = read_config(options.config)
    if "data" not in config:
        raise ExportError(f"--config {options.config!r} has no `data`: give the config of the training, or --data.")
    required = {"checkpoint": options.checkpoint, "output": options.output}
    return parser.parse_object({**required, "data": config["data"]}).data


def _description(options: Namespace) -> InputDescription:
    size = None
    if options.size is not None:
        match = re.fullmatch(r"(\d+)(?:[xX](\d+))?", options.size)
        if match is None:
            raise ExportError(f"--size {options.size}: give HEIGHTxWIDTH in pixels, such as 32x32.")
        size = (int(match[1]), int(match[2] or match[1]))
    return InputDescription(size, options.mean, options.std, _words(options.class_names))


def _words(text: str | None) -> tuple[str, ...] | None:
    """The entries of a list in brackets, as they are written: YAML would make truth values and numbers of some.

    Example:
        >>> _words("[yes, no, 1e5, 'new york']")
        ('yes', 'no', '1e5', 'new york')

    Raises:
        ExportError: it is no list of names.
    """
    if text is None:
        return None
    if not (text.startswith("[") and text.endswith("]")):
        raise ExportError(f"--class-names {text!r}: give names in brackets, such as [cat,dog].")
    loader = yaml.BaseLoader  # every scalar is text
    try:
        found = yaml.load(text, Loader=loader)
    except yaml.YAMLError as error:
        raise ExportError(f"--class-names {text!r} is no list of names: give them as in [cat,dog].") from error
    if not all(isinstance(name, str) and name for name in found):
        raise ExportError(f"--class-names {text!r}: each name is one word or text, as in [cat,'new york'].")
    return tuple(found)


def _text(report: ExportReport) -> str:
    kind = "real" if report.real else "random"
    beside = f" and {report.side_file}" if report.side_file else ""
    size = report.path.stat().st_size
    return (
        f"Wrote {report.path} ({size:,} bytes){beside}. On {report.images} {kind} images its outputs differ from the "
        f"original's by at most {report.difference:.1e}."
    )
