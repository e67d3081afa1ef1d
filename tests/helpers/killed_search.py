"""A search of children in other processes: killed at random moments, or on two ranks."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from typing import Any

import torch

from helpers import search_worker
from helpers.forks import Forks, environment, run_ranks


def words(folder: Path, trials: int, devices: int = 1, precision: str = "32-true") -> list[str]:
    """The command, but for a kill."""
    folder.mkdir(exist_ok=True, parents=True)
    return [search_worker.__file__, str(folder), str(trials), str(devices), precision]


def run_unbroken(folder: Path, trials: int) -> None:
    """The search in this process, whose sets have another order than those of forks."""
    search_worker.main(*words(folder, trials)[1:])


def run_two_ranks(forks: Forks, folder: Path, trials: int, precision: str) -> str:
    """What the ranks have said."""
    return run_ranks(forks, words(folder, trials, 2, precision), folder, environment())


def run_killed(forks: Forks, folder: Path, trials: int, kills: int, seed: int = 0) -> list[int]:
    """Kill the search at random moments of random trials, start it again each time, and at last let it end.

    Returns:
        how many trials were finished at each kill.
    """
    draws, counts = random.Random(seed), []
    for trial in sorted(draws.randrange(trials - 4) for _ in range(kills)):
        killed = forks.run([*words(folder, trials), str(trial), str(0.3 * draws.random())], folder, environment())
        assert killed.returncode == -signal.SIGKILL, killed.stderr[-3000:]
        file = folder / "trials.jsonl"
        counts.append(len(file.read_text().splitlines()) if file.exists() else 0)
    last = forks.run(words(folder, trials), folder, environment())
    assert last.returncode == 0, last.stderr[-3000:]
    return counts


def finished_trials(folder: Path) -> list[dict[str, Any]]:
    """The lines of the trials file but for the time that children took, in the order of their numbers."""
    found = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    return sorted(({k: v for k, v in trial.items() if k != "seconds"} for trial in found), key=lambda t: t["id"])


def end(folder: Path, rank: int = 0) -> dict[str, Any]:
    """The state that a rank has ended in."""
    content: dict[str, Any] = torch.load(folder / f"rank{rank}.pt", weights_only=True)
    return content


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two searches ended in the same state, bit for bit."""
    one, other = one["state"], other["state"]
    return one.keys() == other.keys() and all(torch.equal(other[key], value) for key, value in one.items())
