"""What a training step logs, without the time that Lightning's `log` takes for it."""

from __future__ import annotations

from lightning.pytorch import LightningModule
from torch import Tensor

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
