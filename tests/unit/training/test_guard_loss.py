"""A loss that is not finite stops the run: at once on the CPU, on a card when the next step is on its way."""

from __future__ import annotations

from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lightning_nas import NetworkTraining, NonFiniteLossError, StagedSkeleton
from lightning_nas.spaces import NasBench201Space
from lightning_nas.training import module


class OnCard(Tensor):
    """Says that it is not on the CPU."""

    is_cpu = property(lambda self: False)  # type: ignore[assignment]


class Copy:
    """Remembers which losses are on their way, and which are looked at."""

    asked: list[str] = []

    def __init__(self, loss: Tensor) -> None:
        self.loss = loss.as_subclass(Tensor)
        self.asked.append(f"start {float(self.loss)}")

    def value(self) -> Tensor:
        self.asked.append(f"look at {float(self.loss)}")
        return self.loss


@pytest.fixture
def training(trainer_kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> NetworkTraining:
    monkeypatch.setattr(module, "HostCopy", Copy)
    monkeypatch.setattr(Copy, "asked", [])
    skeleton = StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)
    found = NetworkTraining(NasBench201Space(), NasBench201Space().sample(torch.Generator()), skeleton)
    found.trainer = L.Trainer(**trainer_kwargs)
    return found


def on_card(value: float) -> Tensor:
    return torch.tensor(value).as_subclass(OnCard)


def test_on_a_card_a_loss_is_looked_at_behind_the_next(training: NetworkTraining) -> None:
    training.guard_loss(on_card(1.0), 0)
    assert Copy.asked == ["start 1.0"]
    training.guard_loss(on_card(float("nan")), 1)
    assert Copy.asked == ["start 1.0", "start nan", "look at 1.0"]
    with pytest.raises(NonFiniteLossError, match="nan in epoch 0, batch 1"):
        training.guard_loss(on_card(2.0), 2)
    training.guard_loss(on_card(3.0), 0)  # another fit begins without what the last one has left
    assert Copy.asked[-1] == "start 3.0"


def test_the_last_loss_of_an_epoch_is_looked_at(training: NetworkTraining) -> None:
    training.guard_loss(on_card(float("inf")), 5)
    with pytest.raises(NonFiniteLossError, match="inf in epoch 0, batch 5"):
        training.on_train_epoch_end()
    training.on_train_epoch_end()


def test_on_the_cpu_it_is_looked_at_at_once(training: NetworkTraining) -> None:
    training.guard_loss(torch.tensor(1.0), 0)
    assert Copy.asked == ["start 1.0", "look at 1.0"]
    with pytest.raises(NonFiniteLossError, match="-inf in epoch 0, batch 1"):
        training.guard_loss(torch.tensor(-float("inf")), 1)
