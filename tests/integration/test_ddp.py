"""Two processes on the CPU, with the default strategy and no flag."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

WORKER = Path(__file__).with_name("ddp_worker.py")
SEARCHES = ("darts1", "darts2", "gdas")
pytestmark = [pytest.mark.slow, pytest.mark.ddp]


def run(case: str, folder: Path, devices: int, batch_size: int, norms: str) -> list[dict[str, Any]]:
    """What each rank ends with."""
    folder.mkdir()
    words = [case, str(folder), str(devices), str(batch_size), norms]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in ("PL_GLOBAL_SEED", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, WORKER, *words], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(devices)]


@pytest.mark.parametrize("case", [*SEARCHES, "training"])
def test_ranks_end_equal_and_see_different_images(case: str, tmp_path: Path) -> None:
    first, second = run(case, tmp_path / "two", devices=2, batch_size=8, norms="own")
    assert first["world_size"] == 2
    for key, value in first["state"].items():
        assert torch.equal(second["state"][key], value), key
    seen = [{i for batch in rank["seen"] for i in batch} for rank in (first, second)]
    assert seen[0], "nothing was recorded"
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("case", [*SEARCHES, "training"])
def test_two_ranks_of_8_equal_one_of_16(case: str, tmp_path: Path) -> None:
    two, _ = run(case, tmp_path / "two", devices=2, batch_size=8, norms="frozen")
    (one,) = run(case, tmp_path / "one", devices=1, batch_size=16, norms="frozen")
    initial_is_left = False
    for key, value in one["state"].items():
        torch.testing.assert_close(two["state"][key], value, rtol=0, atol=1e-5, msg=key)
        initial_is_left |= bool(value.is_floating_point() and value.abs().max() > 1e-3)
    assert initial_is_left


@pytest.mark.parametrize("case", [*SEARCHES, "sharing", "training"])
def test_shared_norms_make_two_ranks_one(case: str, tmp_path: Path) -> None:
    """Twelve steps in float64 of weights, architecture and running statistics, with norms that learn from the batch."""
    two = run(case, tmp_path / "two", devices=2, batch_size=8, norms="shared")
    (one,) = run(case, tmp_path / "one", devices=1, batch_size=16, norms="shared")
    assert two[0]["world_size"] == 2
    moved = False
    for key, value in one["state"].items():
        for rank in two:
            torch.testing.assert_close(rank["state"][key], value, rtol=0, atol=1e-9, msg=key)
        moved |= key.endswith("running_mean") and bool(value.abs().max() > 1e-3)
    assert moved
