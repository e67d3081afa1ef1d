"""Two processes on the CPU, with the default strategy and no flag."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import ddp_worker
from helpers.forks import Forks, environment, interpreter, run_ranks

CASES = ("darts1", "darts2", "gdas", "training")
pytestmark = [pytest.mark.slow, pytest.mark.ddp]


def words(case: str, folder: Path, devices: int, batch_size: int, norms: str) -> list[str]:
    folder.mkdir()
    return [ddp_worker.__file__, case, str(folder), str(devices), str(batch_size), norms]


def ended(folder: Path, devices: int) -> list[dict[str, Any]]:
    """What each rank ends with."""
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(devices)]


def run(forks: Forks, case: str, folder: Path, devices: int, batch_size: int, norms: str) -> list[dict[str, Any]]:
    command = words(case, folder, devices, batch_size, norms)
    if devices == 2:
        run_ranks(forks, command, folder, environment())
    else:
        done = forks.run(command, folder, environment())
        assert done.returncode == 0, done.stderr[-3000:]
    return ended(folder, devices)


@pytest.mark.parametrize("case", CASES)
def test_ranks_end_equal_and_see_different_images(case: str, forks: Forks, tmp_path: Path) -> None:
    first, second = run(forks, case, tmp_path / "two", devices=2, batch_size=8, norms="own")
    assert first["world_size"] == 2
    for key, value in first["state"].items():
        assert torch.equal(second["state"][key], value), key
    seen = [{i for batch in rank["seen"] for i in batch} for rank in (first, second)]
    assert seen[0], "nothing was recorded"
    assert not seen[0] & seen[1]


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_of_8_equal_one_of_16(case: str, forks: Forks, tmp_path: Path) -> None:
    two, _ = run(forks, case, tmp_path / "two", devices=2, batch_size=8, norms="frozen")
    (one,) = run(forks, case, tmp_path / "one", devices=1, batch_size=16, norms="frozen")
    initial_is_left = False
    for key, value in one["state"].items():
        torch.testing.assert_close(two["state"][key], value, rtol=0, atol=1e-5, msg=key)
        initial_is_left |= bool(value.is_floating_point() and value.abs().max() > 1e-3)
    assert initial_is_left


@pytest.mark.parametrize("case", [*CASES, "sharing"])
def test_shared_norms_make_two_ranks_one(case: str, forks: Forks, tmp_path: Path) -> None:
    """Twelve steps in float64 of weights, architecture and running statistics, with norms that learn from the batch."""
    two = run(forks, case, tmp_path / "two", devices=2, batch_size=8, norms="shared")
    (one,) = run(forks, case, tmp_path / "one", devices=1, batch_size=16, norms="shared")
    assert two[0]["world_size"] == 2
    moved = False
    for key, value in one["state"].items():
        for rank in two:
            torch.testing.assert_close(rank["state"][key], value, rtol=0, atol=1e-9, msg=key)
        moved |= key.endswith("running_mean") and bool(value.abs().max() > 1e-3)
    assert moved


@pytest.mark.parametrize(
    "case", ["gdas", *(pytest.param(case, marks=pytest.mark.long) for case in (*CASES, "sharing") if case != "gdas")]
)
def test_ranks_that_lightning_starts_end_as_those_that_are_forked(case: str, forks: Forks, tmp_path: Path) -> None:
    """The second rank is a new interpreter, whose sets have another order."""
    forked = run(forks, case, tmp_path / "forked", devices=2, batch_size=8, norms="shared")
    done = interpreter(words(case, tmp_path / "started", 2, 8, "shared"), tmp_path, environment())
    assert done.returncode == 0, done.stderr[-3000:]
    for mine, theirs in zip(ended(tmp_path / "started", 2), forked, strict=True):
        assert mine["world_size"] == 2
        assert mine["seen"] == theirs["seen"]
        for key, value in theirs["state"].items():
            assert torch.equal(mine["state"][key], value), key
