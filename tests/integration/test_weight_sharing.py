"""Searches with shared weights resume exactly in both phases, and agree on two processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

WORKER = Path(__file__).with_name("sharing_worker.py")
pytestmark = pytest.mark.slow
WEIGHT_STEPS, SAMPLER_STEPS = 6, 7  # a round of 3 draws is open in the middle of the sampler's phase, and at its end


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True, parents=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in ("PL_GLOBAL_SEED", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"):
        environment.pop(name, None)
    command = [sys.executable, str(WORKER), str(folder), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def ended(folder: Path, *words: str) -> dict[str, Any]:
    done = run(folder, *words)
    assert done.returncode == 0, done.stderr[-3000:]
    return state(folder)


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
def test_killed_in_each_phase_it_ends_as_the_unbroken_search(case: str, tmp_path: Path) -> None:
    unbroken = ended(tmp_path / "unbroken", case)
    epoch = WEIGHT_STEPS + (SAMPLER_STEPS if case == "controller" else 0)
    # In the weights' phase of the second epoch, and in the sampler's with a round half done.
    for step in (epoch + 3, epoch + WEIGHT_STEPS + 4) if case == "controller" else (epoch + 3,):
        folder = tmp_path / f"killed-{step}"
        assert run(folder, case, "--kill", str(step)).returncode == -signal.SIGKILL
        assert not (folder / "rank0.pt").exists()
        assert_equal(unbroken, ended(folder, case, "--resume"))


@pytest.mark.ddp
@pytest.mark.parametrize("case", ["controller", "evolution"])
def test_two_ranks_agree(case: str, tmp_path: Path) -> None:
    first = ended(tmp_path, case, "--devices", "2")
    assert first["world_size"] == 2
    assert_equal(first, state(tmp_path, 1))
    assert len(first["candidates"]) == 6
