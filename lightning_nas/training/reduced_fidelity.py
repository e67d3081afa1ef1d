"""Cheaper epochs: smaller images and a share of the batches, by a schedule over the epochs of one fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from typing_extensions import override

from lightning_nas.config import Configurable
from lightning_nas.training.module import GuardedModule
from lightning_nas.training.schedules import value_at

V = TypeVar("V", int, float)
_DONE = 2**31  # batches, more than an epoch has; Lightning sets it back to 0


class BatchShare(float):
    """A share of the batches that is never less than one batch; Lightning multiplies the loader's length with it.

    Example:
        >>> int(7 * BatchShare(0.5)), int(3 * BatchShare(0.1)), int(100 * BatchShare(0.29))
        (3, 1, 29)
    """

    def __rmul__(self, length: float) -> float:
        return max(1.0, math.floor(length * float(self) + 1e-6))  # 100 * 0.29 is a little less than 29


class ReducedFidelity(Callback, Configurable):
    """Runs some epochs of a fit on smaller images, on a share of the batches, or both.

    Source: the lower fidelities in Elsken et al., "Neural Architecture Search: A Survey", JMLR 2019; images that grow
    during training are those of Tan & Le, "EfficientNetV2", ICML 2021.

    A schedule is `{epoch: value}`: a value holds from its epoch on, before the first one everything is full. Values
    follow from the epoch alone, so a resumed run needs no state. Images are shrunk in training and in the
    validation of the fit, never in test and prediction. An epoch runs its share of the batches of its own shuffled
    order, at least one, so that different epochs see different images; validation stays whole.
    Logged as `train/resolution` and `train/share`. `Trainer(fast_dev_run=...)` keeps its own number of batches.

    Args:
        resolution: pixels of the images' shorter side, by epoch.
        share: share of the training batches, by epoch, in (0, 1].

    Raises:
        ValueError: neither is given, or an epoch or a value is out of range.

    Example:
        >>> schedule = ReducedFidelity(resolution={0: 16, 10: 32}, share={0: 0.25, 5: 1.0})
        >>> [(schedule.resolution_at(epoch), schedule.share_at(epoch)) for epoch in (0, 5, 10)]
        [(16, 0.25), (16, 1.0), (32, 1.0)]
    """

    def __init__(self, resolution: Mapping[int, int] | None = None, share: Mapping[int, float] | None = None) -> None:
        super().__init__()
        if not resolution and not share:
            raise ValueError(
                "ReducedFidelity(resolution=None, share=None) reduces nothing: give one, as {epoch: value}."
            )
        self.resolution, self.share = _epochs("resolution", resolution), _epochs("share", share)
        for epoch, pixels in self.resolution.items():
            if isinstance(pixels, bool) or not isinstance(pixels, int) or pixels < 1:
                raise ValueError(f"ReducedFidelity(resolution={{{epoch}: {pixels!r}}}): give an integer of at least 1.")
        for epoch, part in self.share.items():
            if isinstance(part, bool) or not isinstance(part, (int, float)) or not 0 < part <= 1:
                raise ValueError(f"ReducedFidelity(share={{{epoch}: {part!r}}}): give a number in (0, 1].")
        self._resumed: int | None = None
        self._kept: tuple[int | float, int] | None = None  # the trainer's own settings, during a fit

    def resolution_at(self, epoch: int) -> int | None:
        """Pixels in an epoch; None for whole images."""
        return value_at(self.resolution, epoch)

    def share_at(self, epoch: int) -> float:
        """Share of the batches in an epoch."""
        part = value_at(self.share, epoch)
        return 1.0 if part is None else float(part)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._resumed = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        # The loops are restored after `on_fit_start`, where a search already makes its loaders.
        self._resumed = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"]

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what cannot work, and set the values of the first epoch.

        Raises:
            MisconfigurationException: another module, sizes that do not fit, or a limit of the trainer's own.
        """
        self._check_resolution(trainer, pl_module)
        limit = trainer.limit_train_batches
        limited = self.share and not trainer.fast_dev_run  # type: ignore[attr-defined]
        if limited and (isinstance(limit, int) or limit != 1.0):
            raise MisconfigurationException(
                f"Trainer(limit_train_batches={limit}) and ReducedFidelity(share=...) both say how many batches an "
                "epoch has: leave out one of them (overfit_batches sets the former)."
            )
        self._kept = (limit, trainer.reload_dataloaders_every_n_epochs)  # type: ignore[attr-defined]
        self._apply(trainer, pl_module, trainer.current_epoch if self._resumed is None else self._resumed)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loop = trainer.fit_loop.epoch_loop
        if self._resumed is not None and trainer.current_epoch > self._resumed and loop.restarted_on_train_batch_end:
            # A checkpoint of an epoch's last batch goes on in the next epoch. Lightning sees by the number of batches
            # that the former is done, but would compare it with the length of the latter.
            loop.batch_progress.current.completed = _DONE
        self._apply(trainer, pl_module, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._apply(trainer, pl_module, trainer.current_epoch)
        pixels = self.resolution_at(trainer.current_epoch)
        if pixels is not None:
            pl_module.log("train/resolution", float(pixels), sync_dist=True)
        if self.share:
            pl_module.log("train/share", self.share_at(trainer.current_epoch), sync_dist=True)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # The loader of the next epoch is made before that epoch's first hook.
        self._limit(trainer, trainer.current_epoch + 1)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._restore(trainer, pl_module)

    @override
    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._restore(trainer, pl_module)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._restore(trainer, pl_module)  # a fit that was done already has no end of training

    def _apply(self, trainer: Trainer, pl_module: LightningModule, epoch: int) -> None:
        if self.resolution:
            pl_module.resolution = self.resolution_at(epoch)  # type: ignore[assignment]
        self._limit(trainer, epoch)

    def _limit(self, trainer: Trainer, epoch: int) -> None:
        """Limit the batches of `epoch`, and have the loader made anew where the limit changes."""
        if not self.share or self._kept is None or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        part = self.share_at(epoch)
        changes = part != trainer.limit_train_batches
        trainer.limit_train_batches = BatchShare(part) if part < 1 else 1.0
        every = 1 if changes else self._kept[1]
        trainer.reload_dataloaders_every_n_epochs = every  # type: ignore[attr-defined]

    def _restore(self, trainer: Trainer, pl_module: LightningModule) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            trainer.limit_train_batches = kept[0]
            trainer.reload_dataloaders_every_n_epochs = kept[1]  # type: ignore[attr-defined]
            pl_module.resolution = None  # type: ignore[assignment]

    def _check_resolution(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.resolution:
            return
        if not isinstance(pl_module, GuardedModule):
            raise MisconfigurationException(
                f"ReducedFidelity(resolution=...): {type(pl_module).__name__} has no `inputs` that shrinks images. "
                "Give share alone, or derive the module from lightning_nas.training.GuardedModule."
            )
        least, least_of_skeleton = min(self.resolution.values()), pl_module.skeleton.minimum_size
        if least < least_of_skeleton:
            raise MisconfigurationException(
                f"ReducedFidelity(resolution={self.resolution}): {least} pixels are too few for the skeleton, which "
                f"needs at least {least_of_skeleton}: give {least_of_skeleton} or more."
            )
        shape = getattr(trainer.datamodule, "shape", None)  # type: ignore[attr-defined]
        if isinstance(shape, tuple) and len(shape) == 3 and max(self.resolution.values()) > min(shape[1:]):
            raise MisconfigurationException(
                f"ReducedFidelity(resolution={self.resolution}): the images have {shape[1]}x{shape[2]} pixels, and "
                f"are never enlarged: give at most {min(shape[1:])}."
            )


def _epochs(name: str, schedule: Mapping[int, V] | None) -> dict[int, V]:
    """The schedule in the order of its epochs; a record in YAML or JSON may have made text of them."""
    found = {}
    for key, value in (schedule or {}).items():
        text = str(key)
        if isinstance(key, bool) or not (text.isascii() and text.isdigit()):
            raise ValueError(f"ReducedFidelity({name}={{{key!r}: {value!r}}}): give epochs as integers of at least 0.")
        found[int(text)] = value
    return dict(sorted(found.items()))
