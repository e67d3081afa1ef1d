"""A process that is killed in the middle of an epoch loses nothing that its last checkpoint had."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.commands import DARTS, EPOCHS, GDAS, command, config
from helpers.forks import Forks, interpreter
from lightning_nas.__main__ import main

pytestmark = pytest.mark.slow


def state(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / "last.ckpt", weights_only=True)
    return content


@pytest.mark.parametrize("model", [GDAS, DARTS], ids=["gdas", "darts order 2"])
def test_fit_after_sigkill_equals_unbroken_fit(
    model: dict[str, Any], forks: Forks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The unbroken fit runs here, in a process whose sets have another order."""
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    expected_config = config(model, unbroken)
    monkeypatch.syspath_prepend(unbroken)
    monkeypatch.chdir(unbroken)
    main(["fit", "--config", str(expected_config)])
    file = str(config(model, killed))
    assert command(forks.run, killed, "fit", "--config", file, kill=True).returncode == -signal.SIGKILL
    assert state(killed)["epoch"] == 0
    run = interpreter if model is GDAS else forks.run
    done = command(run, killed, "fit", "--config", file, "--ckpt_path", str(killed / "last.ckpt"))
    assert done.returncode == 0, done.stderr[-2000:]
    expected, found = state(unbroken), state(killed)
    assert found["epoch"] == expected["epoch"] == EPOCHS - 1
    assert found["hyper_parameters"] == expected["hyper_parameters"]
    for key, value in expected["state_dict"].items():
        assert torch.equal(found["state_dict"][key], value), key
