"""A search of children on digits, to be killed or to be one of two ranks."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import lightning as L
import torch

from lightning_nas import (
    Adam,
    Fidelity,
    FitEvaluator,
    Job,
    LstmController,
    MultiTrialSearch,
    Norm,
    Parameters,
    StagedSkeleton,
    WeightStore,
)
from lightning_nas.callbacks import ParetoFront
from lightning_nas.data import Digits
from lightning_nas.spaces import NasBench201Space
from lightning_nas.trials.trial import Evaluation

PRECISIONS: list[str] = []


class Kill(NamedTuple):
    """SIGKILL `delay` seconds after the beginning of the first trial that is not before `trial`."""

    trial: int
    delay: float

    def set(self) -> None:
        timer = threading.Timer(self.delay, os.kill, (os.getpid(), signal.SIGKILL))
        timer.daemon = True
        timer.start()


class Uneven(FitEvaluator):
    """Children of which every fifth fails, and that take unequal times; keeps whether they run under autocast."""

    kill: Kill | None = None

    def evaluate(self, job: Job) -> Evaluation:
        if self.kill is not None and job.trial >= self.kill.trial:
            self.kill.set()
            self.kill = None
        PRECISIONS.append(f"{torch.is_autocast_enabled('cpu')} {torch.get_default_dtype()}")
        time.sleep(0.2 * random.Random(job.trial).random())
        if job.trial % 5 == 3:
            raise RuntimeError("broken on purpose")
        return super().evaluate(job)


def main(folder: str, trials: str, devices: str, precision: str, trial: str = "", delay: str = "") -> None:
    PRECISIONS.clear()
    L.seed_everything(7, verbose=False)
    space, adam = NasBench201Space(), Adam(0.05, (0.9, 0.999), 0.0)
    controller = LstmController(space, hidden=8, optimizer=adam, fidelity=Fidelity(epochs=1, share=0.1))
    evaluator = Uneven(Digits(batch_size=64, validation=0.1), store=WeightStore("weights", 0.5), inherit="all")
    evaluator.kill = Kill(int(trial), float(delay)) if trial else None
    skeleton = StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1, norm=Norm(sync=True))  # alone, though
    search = MultiTrialSearch(controller, evaluator, skeleton, trials=int(trials), round_size=4)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=int(devices),
        precision=precision,  # type: ignore[arg-type]
        max_epochs=1,
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[ParetoFront(costs=[Parameters()], picture=False)],
    )
    trainer.fit(search)
    content = {"state": search.state_dict(), "seen": PRECISIONS, "world_size": trainer.world_size}
    torch.save(content, Path(folder) / f"rank{trainer.global_rank}.pt")
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
