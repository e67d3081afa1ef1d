"""Searches of children that are killed, and that run on two processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.forks import Forks
from helpers.killed_search import end, equal, finished_trials, run_killed, run_two_ranks, run_unbroken

pytestmark = pytest.mark.slow


def fronts(folder: Path) -> dict[str, str]:
    """What `ParetoFront` has written, copies of earlier files included."""
    found = {path.name: path.read_text() for path in sorted(folder.glob("front.*"))}
    assert found
    return found


@pytest.mark.parametrize(("kills", "trials"), [(5, 12), pytest.param(20, 60, marks=pytest.mark.long)])
def test_killed_it_ends_as_the_unbroken_search(kills: int, trials: int, forks: Forks, tmp_path: Path) -> None:
    unbroken, killed = tmp_path / "unbroken", tmp_path / "killed"
    run_unbroken(unbroken, trials)
    assert len(run_killed(forks, killed, trials, kills)) == kills
    assert [trial["id"] for trial in finished_trials(killed)] == list(range(trials)), "every trial once"
    assert finished_trials(killed) == finished_trials(unbroken)
    assert equal(end(unbroken), end(killed))
    assert fronts(killed) == fronts(unbroken)


@pytest.mark.ddp
def test_two_ranks_share_the_children(forks: Forks, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    run_unbroken(one, trials=12)
    said = run_two_ranks(forks, two, trials=12, precision="bf16-mixed")
    first, second = end(two, 0), end(two, 1)
    assert first["world_size"] == 2
    assert equal(first, second)
    assert equal(end(one), first)  # the same as on one device, rewards and all
    assert finished_trials(two) == finished_trials(one)
    assert fronts(two) == fronts(one)
    assert [trial["status"] for trial in finished_trials(two)].count("failed") == 2
    for rank in (first, second):
        assert len(rank["seen"]) == 6
        assert set(rank["seen"]) == {"False torch.float32"}
    assert "of the time for the slowest child of a round" in said
