"""What is on its way to the host is waited for when it is looked at, and then alone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lightning_nas.runtime import memory as host_copy
from lightning_nas.runtime.memory import HostCopy


class OnCard(Tensor):
    """Says that it is on a card."""

    is_cuda = property(lambda self: True)  # type: ignore[assignment]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of CUDA, in its order, on a machine without a card."""
    asked: list[str] = []

    class Event:
        def record(self, stream: Any) -> None:
            asked.append(f"record on {stream}")

        def synchronize(self) -> None:
            asked.append("wait for the event")

    class Host(Tensor):
        def copy_(self, other: Tensor, non_blocking: bool = False) -> Tensor:
            asked.append(f"copy, non_blocking={non_blocking}")
            return self.as_subclass(Tensor).copy_(other.as_subclass(Tensor))

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"the stream of {device}")
    monkeypatch.setattr(host_copy, "_pinned", lambda tensor: torch.empty(tensor.shape).as_subclass(Host))
    return asked


def test_a_copy_waits_when_it_is_looked_at(made: list[str]) -> None:
    tensor = torch.tensor(3.0, requires_grad=True).as_subclass(OnCard)
    copy = HostCopy(tensor)
    assert made == ["copy, non_blocking=True", "record on the stream of cpu"], "started, not waited for"
    found = copy.value()
    assert made[2:] == ["wait for the event"]
    assert float(found) == 3.0
    assert not found.requires_grad


def test_on_the_cpu_nothing_is_copied(made: list[str]) -> None:
    tensor = torch.tensor(3.0, requires_grad=True)
    found = HostCopy(tensor).value()
    assert found.data_ptr() == tensor.data_ptr()
    assert not found.requires_grad
    assert made == []
