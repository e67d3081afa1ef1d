"""What a training step logs, without the time that Lightning's `log` takes for it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from typing_extensions import override

from lightning_nas.config import Configurable
from lightning_nas.execution.norm import synchronize
from lightning_nas.functional.augment import shrink
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.memory import HostCopy
from lightning_nas.runtime.parallel import average_buffers
from lightning_nas.runtime.seeding import current_seed, derive_seed, seed_all
from lightning_nas.training.task import Task, check_data

HOOK = "training_step"


def log_step(module: LightningModule, name: str, value: Tensor, batch_size: int, prog_bar: bool = False) -> None:
    """`module.log(name, value, ...)` in `training_step`, for a value of the step alone; the same at all times.

    Loggers, progress bar, monitors and `trainer.callback_metrics` see in each batch what they would with `log`. The
    first batch of an epoch goes through it: it checks the call and registers the name. Later ones only put the new
    value in its place. Lightning has no public name for that; where it is not found, every call goes through `log`.

    Args:
        module: in the midst of its `training_step`.
        name: as in `log`; always with the same `prog_bar`.
        value: a floating scalar.
        batch_size: as in `log`.
        prog_bar: show it in the progress bar. Without one it stays out of `trainer.progress_bar_metrics`, which would
            wait for a GPU in each batch.
    """
    trainer = module._trainer  # `module.trainer` raises where there is none, and `log` warns
    place = (getattr(trainer, "_results", None) or {}).get(f"{HOOK}.{name}")
    if place is not None and not place.has_reset:  # an epoch ends with a reset
        place.forward(value, batch_size)  # which detaches it
        return
    prog_bar = prog_bar and getattr(trainer, "progress_bar_callback", None) is not None
    module.log(name, value, prog_bar=prog_bar, batch_size=batch_size)


class NonFiniteLossError(RuntimeError):
    """A loss became NaN or infinite; the message says where, and which checkpoint is good."""


class GuardedModule(LightningModule, Configurable):
    """Reproduces, resumes exactly, and refuses data that does not fit the network.

    The global random numbers are seeded anew for each epoch and batch from (seed, epoch, batch, rank), so drop path,
    dropout and shuffles are the same in a resumed run. The seed is the one given to `lightning.seed_everything`.

    Args:
        skeleton: sizes of the network.
        task: loss and metric.
        epochs: horizon of the schedules; None takes `Trainer.max_epochs`. Give it to stop early and go on later.
    """

    def __init__(self, skeleton: Skeleton, task: Task, epochs: int | None = None) -> None:
        super().__init__()
        if epochs is not None and epochs < 1:
            raise ValueError(f"{type(self).__name__}(epochs={epochs}): give at least 1, or None for the trainer's.")
        self.skeleton, self.task, self.epochs = skeleton, task, epochs
        self.resolution: int | None = None  # pixels that a schedule shrinks the images to; None leaves them whole
        self.image_shape: tuple[int, ...] | None = None  # (C, H, W) of the first images seen, before any shrinking
        self._checked: set[str] = set()
        self._pending: tuple[HostCopy, int, int] | None = None

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return current_seed()

    @property
    def horizon(self) -> int:
        """Number of epochs that the schedules span.

        Raises:
            MisconfigurationException: neither `epochs` nor `Trainer(max_epochs=...)` says.
        """
        horizon = self.epochs or self.trainer.max_epochs
        if horizon is None or horizon < 1:
            raise MisconfigurationException(
                f"Trainer(max_epochs={self.trainer.max_epochs}) gives the schedules no end: set max_epochs, or "
                f"{type(self).__name__}(epochs=...)."
            )
        return horizon

    def setup(self, stage: str) -> None:
        """Compare what the data module says of its data with the skeleton."""
        check_data(self.skeleton, self.trainer.datamodule)  # type: ignore[attr-defined]

    def on_train_start(self) -> None:
        synchronize(self, self.trainer.world_size > 1)  # children on one device each are trained in many processes too

    def on_train_end(self) -> None:
        synchronize(self, False)

    def on_train_epoch_start(self) -> None:
        self._reseed("epoch", self.current_epoch)

    @override
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._reseed("batch", self.current_epoch, batch_idx)

    def _reseed(self, *keys: int | str) -> None:
        seed_all(derive_seed(self.seed, *keys, self.global_rank))

    def check_batch(self, batch: Any, kind: str) -> None:
        """Let the task refuse the first batch of a kind ("train", "val", ...)."""
        if kind not in self._checked:
            self.task.check(batch, self.skeleton)
            self.image_shape = tuple(self.task.inputs(batch).shape[1:])
            self._checked.add(kind)

    def inputs(self, batch: Any) -> Tensor:
        """What goes into the network: the task's inputs, shrunk where a `resolution` is set.

        Raises:
            MisconfigurationException: the inputs are smaller than that, or no images.
        """
        inputs = self.task.inputs(batch)
        if self.resolution is None:
            return inputs
        try:
            return shrink(inputs, self.resolution)
        except ValueError as error:
            raise MisconfigurationException(f"ReducedFidelity(resolution={self.resolution}): {error}") from error

    def guard_loss(self, loss: Tensor, batch_idx: int) -> None:
        """Stop at a loss that is not finite; on an accelerator one step later, and without a wait for what is queued.

        Raises:
            NonFiniteLossError: names epoch, batch and the last good checkpoint.
        """
        copy = HostCopy(loss)  # on its way before the last one is looked at
        self.check_pending_loss()
        self._pending = (copy, self.current_epoch, batch_idx)
        if loss.is_cpu:
            self.check_pending_loss()

    def check_pending_loss(self) -> None:
        """Look at the loss that `guard_loss` has kept, if there is one."""
        pending, self._pending = self._pending, None
        if pending is None or math.isfinite(loss := pending[0].value().item()):
            return
        paths = [
            getattr(callback, "last_model_path", "") or getattr(callback, "best_model_path", "")
            for callback in self.trainer.checkpoint_callbacks
        ]
        good = next((path for path in paths if path and Path(path).exists()), None)
        raise NonFiniteLossError(
            f"The loss is {loss} in epoch {pending[1]}, batch {pending[2]}. "
            + (f"The last good checkpoint is {good}. " if good else "No checkpoint was written yet. ")
            + "Lower the learning rate, set `clip`, or look for broken values in the data."
        )

    def on_train_epoch_end(self) -> None:
        self.check_pending_loss()
        average_buffers(self, self.trainer.strategy)

    def on_validation_epoch_start(self) -> None:
        average_buffers(self, self.trainer.strategy)  # every rank then evaluates the same network

    @contextmanager
    def explain_out_of_memory(self, batch_size: int) -> Iterator[None]:
        """Turn running out of memory into an error that names what to lower.

        Raises:
            RuntimeError: names batch size and channels.
        """
        try:
            yield
        except RuntimeError as error:
            texts = ("not enough memory", "can't allocate memory")  # the CPU's, by platform
            if not isinstance(error, torch.OutOfMemoryError) and not any(text in str(error) for text in texts):
                raise
            raise RuntimeError(
                f"Out of memory on {self.device} with batch_size={batch_size} and channels={self.skeleton.channels}: "
                "lower the data module's batch_size or the skeleton's channels, or give "
                f"execution=Execution(checkpoint_cells=True). ({error})"
            ) from error
