"""Optimizers and their schedules as plain settings."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from lightning_nas import Adam, Sgd
from lightning_nas.config import instantiate


def rates(settings: Sgd, epochs: int, steps: int | None = None) -> list[float]:
    """The rate in each epoch."""
    optimizer = settings.build([torch.nn.Parameter(torch.zeros(1))])
    scheduler, found = settings.scheduler(optimizer, epochs), []
    for _ in range(steps or epochs):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(("lr", "lr_min", "epochs"), [(0.025, 0.001, 50), (0.1, 0.0, 7)])
def test_cosine_is_torchs(lr: float, lr_min: float, epochs: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr)
    reference, expected = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs, lr_min), []
    for _ in range(epochs):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert rates(Sgd(lr=lr, lr_min=lr_min), epochs) == pytest.approx(expected, rel=1e-9)


def test_cosine_stays_at_its_end() -> None:
    assert rates(Sgd(lr=1.0, lr_min=0.25), 2, steps=5)[2:] == [0.25] * 3


def test_exponential_constant_and_warmup() -> None:
    assert rates(Sgd(lr=1.0, schedule="exponential", gamma=0.5), 3) == [1.0, 0.5, 0.25]
    assert rates(Sgd(lr=1.0, schedule="constant"), 3) == [1.0] * 3
    assert rates(Sgd(lr=1.0, schedule="constant", warmup_epochs=3), 5) == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates(Sgd(lr=0.0, warmup_epochs=1), 3) == [0.0] * 3
    warm = rates(Sgd(lr=1.0, warmup_epochs=2), 6)
    assert warm[2:] == pytest.approx(rates(Sgd(lr=1.0), 4))


@pytest.mark.parametrize(("length", "factor"), [(10, 2), (7, 1), (1, 3)])
def test_restarts_are_torchs(length: int, factor: int) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))], 0.05)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, length, factor, eta_min=0.0005)
    expected = []
    for _ in range(70):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    settings = Sgd(lr=0.05, lr_min=0.0005, schedule="restarts", restart_epochs=length, restart_factor=factor)
    assert rates(settings, 70) == pytest.approx(expected, rel=1e-12)
    # The length of the run plays no part, and the warm-up comes before.
    assert rates(settings, 3, steps=70) == rates(settings, 70)
    warm = Sgd(**{**settings.config()["init_args"], "warmup_epochs": 2})
    assert rates(warm, 72) == pytest.approx([0.05 / 3, 0.1 / 3, *expected], rel=1e-12)


def test_restarts_are_of_their_schedule_alone() -> None:
    for schedule in ("cosine", "exponential", "constant"):
        plain, other = Sgd(schedule=schedule), Sgd(schedule=schedule, restart_epochs=2, restart_factor=3)
        assert rates(plain, 12) == rates(other, 12)
    assert rates(Sgd(lr=0.0, schedule="restarts"), 12) == [0.0] * 12


def test_built_optimizers_have_the_settings() -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    sgd = Sgd(lr=0.1, momentum=0.8, weight_decay=0.01, nesterov=True).build([weight]).defaults
    assert (sgd["lr"], sgd["momentum"], sgd["weight_decay"], sgd["nesterov"]) == (0.1, 0.8, 0.01, True)
    adam = Adam(lr=0.2, betas=[0.4, 0.9]).build([weight]).defaults  # type: ignore[arg-type]
    assert (adam["lr"], adam["betas"], adam["weight_decay"], adam["eps"]) == (0.2, (0.4, 0.9), 1e-3, 1e-8)
    assert Adam(betas=(0.0, 0.999), eps=1e-3).build([weight]).defaults["eps"] == 1e-3


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (Sgd, {"lr": -1}),
        (Sgd, {"momentum": -0.1}),
        (Sgd, {"weight_decay": float("nan")}),
        (Sgd, {"warmup_epochs": -1}),
        (Sgd, {"schedule": "linear"}),
        (Sgd, {"restart_epochs": 0}),
        (Sgd, {"restart_factor": 0}),
        (Adam, {"lr": -1}),
        (Adam, {"weight_decay": -1}),
        (Adam, {"betas": (0.5, 1.0)}),
        (Adam, {"betas": (0.5,)}),
        (Adam, {"eps": 0.0}),
        (Adam, {"eps": -1e-3}),
        (Adam, {"eps": float("nan")}),
    ],
)
def test_bad_settings_are_named(cls: type, arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"{cls.__name__}\({name}=.*\): give"):
        cls(**arguments)


def test_an_unknown_schedule_is_refused_with_the_known_ones() -> None:
    message = r"Sgd\(schedule='linear'\): give one of cosine, restarts, exponential, constant\."
    with pytest.raises(ValueError, match=message):
        Sgd(schedule="linear")  # type: ignore[arg-type]


def test_settings_recorded_before_there_were_more_still_work() -> None:
    adam = {"class_path": "lightning_nas.training.optimizer.Adam", "init_args": {"lr": 0.1, "betas": [0.5, 0.9]}}
    sgd = {"class_path": "lightning_nas.training.optimizer.Sgd", "init_args": {"lr": 0.1, "schedule": "cosine"}}
    assert instantiate(adam) == Adam(lr=0.1, betas=(0.5, 0.9), eps=1e-8)
    assert instantiate(sgd) == Sgd(lr=0.1)
    for settings in (Adam(eps=1e-3), Sgd(schedule="restarts", restart_epochs=4, restart_factor=3)):
        assert instantiate(json.loads(json.dumps(settings.config()))) == settings


def test_nesterov_needs_a_momentum() -> None:
    with pytest.raises(ValueError, match=r"Sgd\(nesterov=True, momentum=0\)"):
        Sgd(nesterov=True, momentum=0)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_fused_step_is_the_same_where_paths_are_sparse(momentum: float) -> None:
    start = [torch.randn(3, 2, dtype=torch.float64) for _ in range(4)]
    ends = []
    for fused in (False, True):
        weights = [tensor.clone().requires_grad_() for tensor in start]
        optimizer = Sgd(lr=0.1, momentum=momentum, weight_decay=0.01).build(weights, fused=fused)
        for step in range(5):
            for index, weight in enumerate(weights):
                took_part = (step + index) % 3 != 0 and index < 3  # the last one never does
                weight.grad = torch.full_like(weight, step + index + 1.0) if took_part else None
            optimizer.step()
        assert weights[3] not in optimizer.state
        ends.append(torch.stack([w.detach() for w in weights]))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)
