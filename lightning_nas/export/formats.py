"""The error of exports."""

from __future__ import annotations

import io
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn


class ExportError(MisconfigurationException, ValueError):
    """A network that cannot be exported as asked; nothing was written."""


Run = Callable[[Tensor], Tensor]
EXTRA_FILE = "lightning_nas.json"
"""Name of the file with the metadata inside a `.pt2`."""
OLDEST_OPSET, DEFAULT_OPSET = 16, 18


class Format(ABC):
    """One file format.

    `check` comes before any work; `convert` gives the file's content, `load` what runs it.
    """

    suffix: str

    @abstractmethod
    def check(self) -> None:
        """Refuse what cannot be done here: a missing package, an opset that nothing knows."""

    @abstractmethod
    def convert(self, network: nn.Module, images: Tensor, dynamic: bool, metadata: Mapping[str, Any]) -> bytes:
        """The network as the content of a file.

        Args:
            network: in eval mode.
            images: (B, C, H, W) of the size that the network is to take.
            dynamic: take any number of images, not B alone.
            metadata: plain data that travels along.
        """

    @abstractmethod
    def load(self, content: bytes) -> Run:
        """What runs the content of a file: images to outputs."""


class Torch(Format):
    """A program of `torch.export`."""

    suffix = ".pt2"

    def check(self) -> None:
        """Torch itself is enough."""

    def convert(self, network: nn.Module, images: Tensor, dynamic: bool, metadata: Mapping[str, Any]) -> bytes:
        with torch.no_grad():
            program = torch.export.export(network, (images,), dynamic_shapes=_shapes(dynamic), strict=False)
        file = io.BytesIO()
        torch.export.save(program, file, extra_files={EXTRA_FILE: json.dumps(metadata, indent=2)})
        return file.getvalue()

    def load(self, content: bytes) -> Run:
        return torch.export.load(io.BytesIO(content)).module()


class Onnx(Format):
    """An ONNX model, all in one file.

    Args:
        opset: version of the operator set.
    """

    suffix = ".onnx"

    def __init__(self, opset: int = DEFAULT_OPSET) -> None:
        self.opset = opset

    def check(self) -> None:
        """Raises ExportError if a package is missing, or the opset is not known."""
        for package in ("onnx", "onnxscript", "onnxruntime"):
            try:
                import_module(package)
            except ImportError as error:
                raise ExportError(
                    f"Export to ONNX needs {package}, which is not installed: pip install 'lightning-nas[onnx]'"
                ) from error
        newest = import_module("onnx").defs.onnx_opset_version()
        if not OLDEST_OPSET <= self.opset <= newest:
            raise ExportError(
                f"opset={self.opset} is not supported: give {OLDEST_OPSET} to {newest}, or leave it out for "
                f"{DEFAULT_OPSET}."
            )

    def convert(self, network: nn.Module, images: Tensor, dynamic: bool, metadata: Mapping[str, Any]) -> bytes:
        output = "probabilities" if metadata["softmax"] else "logits"
        with torch.no_grad(), _quiet("torch.onnx", "onnxscript", "onnx_ir"):
            program = torch.onnx.export(
                network,
                (images,),
                dynamo=True,
                opset_version=self.opset,
                input_names=["images"],
                output_names=[output],
                dynamic_shapes=_shapes(dynamic),
                external_data=False,
                verbose=False,
            )
        assert program is not None, "with dynamo=True"
        model = program.model_proto
        written = {entry.domain: entry.version for entry in model.opset_import}.get("")
        if written != self.opset:  # torch falls back without an error
            raise ExportError(f"opset={self.opset}: the network can only be written with {written}; give that.")
        for name, value in metadata.items():
            model.metadata_props.add(key=name, value=value if isinstance(value, str) else json.dumps(value))
        import_module("onnx").checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString())

    def load(self, content: bytes) -> Run:
        session = import_module("onnxruntime").InferenceSession(content, providers=["CPUExecutionProvider"])
        return lambda images: torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def _shapes(dynamic: bool) -> Any:
    return {"images": {0: torch.export.Dim("batch", min=1)}} if dynamic else None


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Within it, these loggers tell of errors beyond repair alone; what goes wrong is raised."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
