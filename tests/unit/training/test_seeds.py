"""What is drawn in a batch is a function of (seed, epoch, batch), and differs between batches and epochs."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

from lightning_nas import GdasSearch, StagedSkeleton
from lightning_nas.architecture import Architecture
from lightning_nas.spaces import NasBench201Space
from lightning_nas.testing import BoringData

Draws = dict[tuple[str, int, int], list[float]]


class Recording(GdasSearch):
    """Keeps the state of the global random numbers in each batch, and what the relaxation draws."""

    def __init__(self) -> None:
        super().__init__(NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1))
        self.seeds: dict[tuple[int, int], int] = {}
        self.draws: Draws = {}

    def training_step(self, batch: Any, batch_idx: int) -> None:
        self.seeds[self.current_epoch, batch_idx] = torch.initial_seed()
        super().training_step(batch, batch_idx)

    def draw(self, purpose: str, batch_idx: int) -> Architecture:
        found = super().draw(purpose, batch_idx)
        if self.trainer.training:
            self.draws[purpose, self.current_epoch, batch_idx] = found["cell"].values.argmax(-1).tolist()
        return found


def recorded(trainer_kwargs: dict[str, Any]) -> Recording:
    L.seed_everything(3, verbose=False)
    search = Recording()
    L.Trainer(max_epochs=2, **trainer_kwargs).fit(search, datamodule=BoringData(batches=4))
    return search


def test_each_batch_has_seeds_and_draws_of_its_own(trainer_kwargs: dict[str, Any]) -> None:
    one, again = recorded(trainer_kwargs), recorded(trainer_kwargs)
    assert one.seeds == again.seeds
    assert one.draws == again.draws
    assert len(set(one.seeds.values())) == len(one.seeds) == 8
    for purpose in ("architecture", "weights"):
        found = [tuple(draw) for (of, *_), draw in one.draws.items() if of == purpose]
        assert len(found) == 8
        assert len(set(found)) > 5, f"{purpose}: six edges of five candidates hardly ever fall alike"
