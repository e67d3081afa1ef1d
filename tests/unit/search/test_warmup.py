"""Epochs in which the weights alone are trained."""

from __future__ import annotations

from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas import CellSkeleton, DartsSearch, GdasSearch
from lightning_nas.search import DifferentiableSearch
from lightning_nas.spaces import DartsSpace
from lightning_nas.testing import BoringData


class Watch(L.Callback):
    """Alphas, a weight and the logged names after each epoch."""

    def __init__(self) -> None:
        self.seen: list[tuple[torch.Tensor, torch.Tensor, bool]] = []

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, DifferentiableSearch)
        alphas = torch.cat([alpha.detach().flatten() for alpha in pl_module.architecture.parameters()])
        weight = next(pl_module.supernet.parameters()).detach().clone()
        self.seen.append((alphas, weight, "search/arch_loss" in trainer.callback_metrics))


@pytest.mark.parametrize("method", [DartsSearch, GdasSearch])
def test_the_architecture_waits_for_the_weights(method: Any, trainer_kwargs: dict[str, Any]) -> None:
    search = method(DartsSpace(nodes=2), CellSkeleton(cells=3, channels=4), warmup_epochs=2)
    before = torch.cat([alpha.detach().flatten() for alpha in search.architecture.parameters()])
    watch = Watch()
    trainer_kwargs.pop("callbacks", None)
    trainer = L.Trainer(max_epochs=3, callbacks=[watch], **trainer_kwargs)
    trainer.fit(search, datamodule=BoringData(shape=(3, 12, 12), batches=2))
    (first, weight, logged), (second, moved, _), (third, _, at_last) = watch.seen
    assert torch.equal(first, before)
    assert torch.equal(second, before)
    assert not torch.equal(third, before)
    assert not torch.equal(weight, moved)
    assert (logged, at_last) == (False, True)


def test_a_negative_warmup_is_refused() -> None:
    with pytest.raises(ValueError, match=r"DartsSearch\(warmup_epochs=-1\): give a number of 0 or more"):
        DartsSearch(DartsSpace(), CellSkeleton(cells=3, channels=4), warmup_epochs=-1)


def test_a_warmup_as_long_as_the_search_is_refused(trainer_kwargs: dict[str, Any]) -> None:
    search = DartsSearch(DartsSpace(nodes=2), CellSkeleton(cells=3, channels=4), warmup_epochs=2)
    with pytest.raises(MisconfigurationException, match=r"warmup_epochs=2\) in a run of 2 epochs would never train"):
        L.Trainer(max_epochs=2, **trainer_kwargs).fit(search, datamodule=BoringData(shape=(3, 12, 12), batches=2))
