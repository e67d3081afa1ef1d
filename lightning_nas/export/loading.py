"""From a checkpoint to a `NetworkTraining` and what it knows of its images."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from lightning_nas.data.description import InputDescription
from lightning_nas.export.errors import ExportError
from lightning_nas.training import NetworkTraining

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
        training = NetworkTraining.load_from_checkpoint(path, map_location="cpu", weights_only=True)
        description = InputDescription.from_dict(content.get("input") or {})
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError) as error:
        raise ExportError(f"checkpoint={str(path)!r}: the network cannot be built again: {error}") from error
    return training, description


def _read(path: str | Path) -> Any:
    if not Path(path).is_file():
        raise ExportError(f"checkpoint={str(path)!r}: no such file. Give a checkpoint of a NetworkTraining.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
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
