"""A process that is killed in the middle of an epoch loses nothing that its last checkpoint had."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from integration.commands import DARTS, EPOCHS, GDAS, command, config

pytestmark = pytest.mark.slow


def state(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "last.ckpt", weights_only=True)
    return content


@pytest.mark.parametrize("model", [GDAS, DARTS], ids=["gdas", "darts order 2"])
def test_fit_after_sigkill_equals_unbroken_fit(model: dict[str, Any], tmp_path: Path) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    done = command(unbroken, "fit", "--config", str(config(model, unbroken)))
    assert done.returncode == 0, done.stderr[-2000:]
    file = str(config(model, killed))
    assert command(killed, "fit", "--config", file, kill=True).returncode == -signal.SIGKILL
    assert state(killed)["epoch"] == 1
    done = command(killed, "fit", "--config", file, "--ckpt_path", str(killed / "last.ckpt"))
    assert done.returncode == 0, done.stderr[-2000:]
    expected, found = state(unbroken), state(killed)
    assert found["epoch"] == expected["epoch"] == EPOCHS - 1
    assert found["hyper_parameters"] == expected["hyper_parameters"]
    for key, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][key], value), key
