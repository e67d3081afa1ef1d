"""Searches of children that are killed, and that run on two processes."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

WORKER = Path(__file__).with_name("search_worker.py")
pytestmark = pytest.mark.slow


def start(folder: Path, devices: int = 1, precision: str = "32-true") -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in ("PL_GLOBAL_SEED", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"):
        environment.pop(name, None)
    words = [sys.executable, str(WORKER), str(folder), str(devices), precision]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """What the process has said, once it has ended well."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-3000:]
    return out + err


def trials(folder: Path) -> list[dict[str, Any]]:
    """The lines of the trials file but for the time that children took."""
    found = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    return sorted(({k: v for k, v in trial.items() if k != "seconds"} for trial in found), key=lambda t: t["id"])


def end(folder: Path, rank: int = 0) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / f"rank{rank}.pt", weights_only=True)
    return content


def assert_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["state"].keys() == other["state"].keys()
    for key, value in one["state"].items():
        assert torch.equal(other["state"][key], value), key


def test_killed_five_times_it_ends_as_the_unbroken_search(tmp_path: Path) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    begin = time.perf_counter()
    finish(start(unbroken))
    span = time.perf_counter() - begin
    draws = random.Random(0)
    kills = 0
    while kills < 5:
        process = start(killed)
        try:
            process.wait(timeout=span * draws.uniform(0.4, 0.95))
        except subprocess.TimeoutExpired:
            process.kill()  # SIGKILL
        process.communicate()
        kills += 1
    finish(start(killed))
    assert [trial["id"] for trial in trials(killed)] == list(range(12)), "every trial once"
    assert trials(killed) == trials(unbroken)
    assert_equal(end(unbroken), end(killed))


@pytest.mark.ddp
def test_two_ranks_share_the_children(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    finish(start(one))
    said = finish(start(two, devices=2, precision="bf16-mixed"))
    first, second = end(two, 0), end(two, 1)
    assert first["world_size"] == 2
    assert_equal(first, second)
    assert_equal(end(one), first)  # the same as on one device, rewards and all
    assert trials(two) == trials(one)
    assert [trial["status"] for trial in trials(two)].count("failed") == 2
    for rank in (first, second):
        assert len(rank["seen"]) == 6
        assert set(rank["seen"]) == {"False torch.float32"}
    assert "of the time for the slowest child of a round" in said
