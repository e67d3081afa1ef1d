"""Searches with shared weights resume exactly in both phases, and agree on two processes."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import sharing_worker
from helpers.forks import Forks, environment, run_ranks

pytestmark = pytest.mark.slow
WEIGHT_STEPS, SAMPLER_STEPS = 6, 7  # a round of 3 draws is open in the middle of the sampler's phase, and at its end


def state(folder: Path, rank: int = 0) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / f"rank{rank}.pt", weights_only=True)
    return content


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["state"].keys() == other["state"].keys()
    for key, value in one["state"].items():
        assert torch.equal(other["state"][key], value), key
    assert one["candidates"] == other["candidates"]
    assert one["global_step"] == other["global_step"]


@pytest.mark.parametrize("case", ["controller", "evolution"])
def test_killed_in_each_phase_it_ends_as_the_unbroken_search(case: str, forks: Forks, tmp_path: Path) -> None:
    """The unbroken search runs here, in a process whose sets have another order."""
    (tmp_path / "unbroken").mkdir()
    sharing_worker.main([str(tmp_path / "unbroken"), case])
    unbroken = state(tmp_path / "unbroken")
    epoch = WEIGHT_STEPS + (SAMPLER_STEPS if case == "controller" else 0)
    # In the weights' phase of the second epoch, and in the sampler's with a round half done.
    for step in (epoch + 3, epoch + WEIGHT_STEPS + 4) if case == "controller" else (epoch + 3,):
        folder = tmp_path / f"killed-{step}"
        folder.mkdir()
        words = [sharing_worker.__file__, folder, case]
        killed = forks.run([*words, "--kill", str(step)], folder, environment())
        assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
        assert not (folder / "rank0.pt").exists()
        resumed = forks.run([*words, "--resume"], folder, environment())
        assert resumed.returncode == 0, resumed.stderr[-3000:]
        assert_equal(unbroken, state(folder))


@pytest.mark.ddp
@pytest.mark.parametrize("case", ["controller", "evolution"])
def test_two_ranks_agree(case: str, forks: Forks, tmp_path: Path) -> None:
    run_ranks(forks, [sharing_worker.__file__, tmp_path, case, "--devices", "2"], tmp_path, environment())
    first = state(tmp_path)
    assert first["world_size"] == 2
    assert_equal(first, state(tmp_path, 1))
    assert len(first["candidates"]) == 6
