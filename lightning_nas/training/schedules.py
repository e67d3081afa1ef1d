"""Values that follow from the epoch, and the callbacks that set them: drop path and temperature."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.config import Configurable
from lightning_nas.execution.reference import DropPath

V = TypeVar("V")


def value_at(schedule: Mapping[int, V], position: int) -> V | None:
    """The value that holds at a position; None before the first.

    Args:
        schedule: values by the position from which on they hold.
        position: epoch or trial.

    Example:
        >>> [value_at({2: "low", 5: "high"}, position) for position in (1, 2, 4, 5)]
        [None, 'low', 'low', 'high']
    """
    started = [first for first in schedule if first <= position]
    return schedule[max(started)] if started else None


class EpochSchedule(Callback, Configurable, ABC):
    """Sets a value at the start of each epoch, from the epoch alone: a resumed run needs no state to go on exactly.

    Args:
        epochs: horizon of the schedule; None takes the module's.

    Raises:
        ValueError: `epochs` is below 1.
    """

    name: str
    """The value's name in the logs."""

    def __init__(self, epochs: int | None = None) -> None:
        super().__init__()
        if epochs is not None and epochs < 1:
            raise ValueError(
                f"{type(self).__name__}(epochs={epochs}): give at least 1, or None for the module's horizon."
            )
        self.epochs = epochs

    @abstractmethod
    def value(self, epoch: int, epochs: int) -> float:
        """The value in an epoch (from 0) of a schedule over `epochs`."""

    @abstractmethod
    def apply(self, pl_module: LightningModule, value: float) -> None:
        """Give the value to the module."""

    @abstractmethod
    def check(self, pl_module: LightningModule) -> None:
        """Refuse a module that has no use for the value."""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.check(pl_module)
        self._horizon(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # A run that resumes in the middle of an epoch does not start that epoch again.
        self.apply(pl_module, self._now(trainer, pl_module))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = self._now(trainer, pl_module)
        self.apply(pl_module, value)
        pl_module.log(self.name, value, sync_dist=True)

    def _now(self, trainer: Trainer, pl_module: LightningModule) -> float:
        return self.value(trainer.current_epoch, self._horizon(pl_module))

    def _horizon(self, pl_module: LightningModule) -> int:
        horizon = self.epochs or getattr(pl_module, "horizon", None)
        if not isinstance(horizon, int):
            raise MisconfigurationException(
                f"{type(self).__name__}(epochs=None): {type(pl_module).__name__} has no `horizon` to take; set epochs."
            )
        return horizon


class TemperatureSchedule(EpochSchedule):
    """Moves the temperature of the module's relaxation linearly from `start` in the first epoch to `end` in the last.

    Source: the authors' code of Dong & Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019.
    Logged as `search/temperature`.

    Args:
        start: temperature in the first epoch.
        end: temperature in the last epoch.
        epochs: horizon of the schedule; None takes the module's.

    Raises:
        ValueError: a temperature is not positive, or `epochs` is below 1.

    Example:
        >>> [round(TemperatureSchedule(10.0, 0.1).value(epoch, 4), 1) for epoch in range(4)]
        [10.0, 6.7, 3.4, 0.1]
    """

    name = "search/temperature"

    def __init__(self, start: float = 10.0, end: float = 0.1, epochs: int | None = None) -> None:
        super().__init__(epochs)
        for name, value in (("start", start), ("end", end)):
            if not 0.0 < value < float("inf"):
                raise ValueError(f"TemperatureSchedule({name}={value}): give a positive number.")
        self.start, self.end = start, end

    def value(self, epoch: int, epochs: int) -> float:
        share = min(epoch / (epochs - 1), 1.0) if epochs > 1 else 0.0
        return self.start - (self.start - self.end) * share

    def check(self, pl_module: LightningModule) -> None:
        """Refuse a module without a temperature.

        Raises:
            MisconfigurationException: `pl_module.relaxation.temperature` is missing.
        """
        if not hasattr(getattr(pl_module, "relaxation", None), "temperature"):
            raise MisconfigurationException(
                f"TemperatureSchedule: {type(pl_module).__name__} has no relaxation with a temperature. "
                "Remove the callback, or search with a method that has one, such as GdasSearch."
            )

    def apply(self, pl_module: LightningModule, value: float) -> None:
        pl_module.relaxation.temperature = value  # type: ignore[union-attr]


class DropPathSchedule(EpochSchedule):
    """Raises the probability of drop path linearly: `probability * epoch / epochs`, so 0 in the first epoch.

    Source: Zoph et al., "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018, as the authors
    of DARTS (Liu et al. 2019) have it. Logged as `train/drop_path`.

    Args:
        probability: where the schedule leads, in [0, 1).
        epochs: horizon of the schedule; None takes the module's.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> [round(DropPathSchedule(0.2).value(epoch, 4), 2) for epoch in range(4)]
        [0.0, 0.05, 0.1, 0.15]
    """

    name = "train/drop_path"

    def __init__(self, probability: float = 0.2, epochs: int | None = None) -> None:
        super().__init__(epochs)
        if not 0.0 <= probability < 1.0:
            raise ValueError(f"DropPathSchedule(probability={probability}): give a number in [0, 1).")
        self.probability = probability

    def value(self, epoch: int, epochs: int) -> float:
        return self.probability * min(epoch / epochs, 1.0)

    def check(self, pl_module: LightningModule) -> None:
        """Refuse a module without drop path.

        Raises:
            MisconfigurationException: no `DropPath` among its modules.
        """
        if not any(isinstance(module, DropPath) for module in pl_module.modules()):
            raise MisconfigurationException(
                f"DropPathSchedule(probability={self.probability}): {type(pl_module).__name__} holds no "
                "lightning_nas.execution.DropPath. Remove the callback, or put DropPath into the space's network."
            )

    def apply(self, pl_module: LightningModule, value: float) -> None:
        for module in pl_module.modules():
            if isinstance(module, DropPath):
                module.probability = value
