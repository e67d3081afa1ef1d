"""Seeding each batch asks a machine once what it has."""

from __future__ import annotations

import pytest
import torch

from lightning_nas.runtime.seeding import seed_all


@pytest.mark.parametrize("has", [True, False])
def test_the_accelerator_is_asked_for_once_and_seeded(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    everything = torch.manual_seed

    def is_available() -> bool:
        asked.append("available")
        return has

    def manual_seed(seed: int) -> torch.Generator:
        asked.append("all")
        return everything(seed)

    monkeypatch.setattr(torch.accelerator, "is_available", is_available)
    monkeypatch.setattr(torch, "manual_seed", manual_seed)
    numbers = []
    for _ in range(3):
        seed_all(5)
        numbers.append(float(torch.rand(())))
    assert len(set(numbers)) == 1
    assert asked == ["available", *["all"] * (3 if has else 0)]
