"""Loggers that take figures and text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lightning.pytorch import Trainer


def figure_writers(trainer: Trainer) -> Iterator[Any]:
    """The experiments of those loggers that show figures, such as TensorBoard's; to be called on rank zero."""
    for logger in trainer.loggers:
        experiment = getattr(logger, "experiment", None)
        if hasattr(experiment, "add_figure"):
            yield experiment
