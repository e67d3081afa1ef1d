"""Jobs for children that are trained on digits, and a callback that keeps what they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import torch

from lightning_nas import Classification, Fidelity, SearchSpace, Skeleton
from lightning_nas.data import Digits
from lightning_nas.evaluators import Job
from lightning_nas.runtime.seeding import generator
from lightning_nas.testing import BoringSkeleton, BoringSpace
from lightning_nas.trials.trial import Proposal

SPACE = BoringSpace()
CHILD = BoringSkeleton(channels=4, in_channels=1)
DATA = Digits(batch_size=64, validation=0.2)
PLACE = torch.device("cpu")


def job(
    folder: Path,
    proposal: Proposal,
    trial: int = 0,
    space: SearchSpace = SPACE,
    skeleton: Skeleton = CHILD,
    first: int | None = None,
) -> Job:
    return Job(trial, proposal, space, skeleton, Classification(), 7, PLACE, folder, trial if first is None else first)


def proposal(fidelity: Fidelity, space: SearchSpace = SPACE, **more: Any) -> Proposal:
    return Proposal(space.sample(generator(4, "child")), fidelity, **more)


class Recorder(L.Callback):
    """Keeps what each child was; made anew for each from its class path."""

    made: ClassVar[list[Recorder]] = []

    def __init__(self, note: str = "") -> None:
        self.note, self.batches, self.sizes = note, list[int](), set[int]()
        self.made.append(self)

    def on_fit_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.module, self.skeleton = pl_module, pl_module.skeleton
        pl_module.network.register_forward_pre_hook(lambda _, inputs: self.sizes.add(inputs[0].shape[-1]))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.batches.append(trainer.fit_loop.epoch_loop.batch_progress.current.completed)


RECORDER: dict[str, Any] = {"class_path": f"{__name__}.Recorder", "init_args": {"note": "of a child"}}
