"""What the fit of a child needs: its metrics of each epoch, callbacks made anew, and no talk."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_nas.config import Configurable, find_class
from lightning_nas.trial import Evaluation


class MetricHistory(Callback):
    """Keeps what was logged, epoch by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.curves: dict[str, list[float]] = {}
        self.metrics: dict[str, float] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.metrics.update({name: float(value) for name, value in trainer.callback_metrics.items()})
        for name in self.metrics:
            self.curves.setdefault(name, []).append(self.metrics[name])

    def evaluation(self) -> Evaluation:
        """The final metrics and the curves."""
        return Evaluation(self.metrics, {name: tuple(values) for name, values in self.curves.items()})


def callback_from(source: Mapping[str, Any] | Configurable) -> Callback:
    """A fresh callback, from its plain `class_path` and `init_args` or as a copy.

    Raises:
        ValueError: no callback, or one that cannot be made again from plain data.
    """
    if isinstance(source, Mapping):
        return find_class(source["class_path"], Callback)(**(source.get("init_args") or {}))
    if not isinstance(source, Callback) or not isinstance(source, Configurable):
        raise ValueError(
            f"callbacks: {source!r} cannot be made anew for each child. Give plain data, such as "
            '{"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss"}}.'
        )
    return copy.deepcopy(source)


@contextmanager
def quiet() -> Iterator[None]:
    """Within it Lightning says nothing about devices, workers and the end of a fit, which it would for every child."""
    talker = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = talker.level
    try:
        talker.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PossibleUserWarning)
            yield
    finally:
        talker.setLevel(level)
