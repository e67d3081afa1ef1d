"""The store of weights: its bound, its order, kills, and several processes."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest
import torch
from torch import Tensor

from helpers.writers import exit_codes
from lightning_nas.config import instantiate
from lightning_nas.inheritance import WeightStore


def state(value: float, numbers: int = 250) -> dict[str, Tensor]:
    return {"weight": torch.full((numbers,), float(value))}


def size_of(folder: Path) -> int:
    """Bytes of a file with `state(...)`."""
    WeightStore(folder / "probe").save(0, state(0.0))
    return (folder / "probe" / "000000.pt").stat().st_size


def holding(folder: Path, files: int) -> WeightStore:
    """A store with room for a number of files, and a little more."""
    return WeightStore(folder / "store", max_megabytes=(files + 0.5) * size_of(folder) / 1e6)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    store = WeightStore(tmp_path / "store")
    assert store.trials(before=9) == []
    assert store.load(0) is None
    assert store.make_room(0, 4) == []
    for trial in (0, 3, 12):
        store.save(trial, state(trial))
    assert sorted(path.name for path in store.folder.iterdir()) == ["000000.pt", "000003.pt", "000012.pt"]
    assert store.trials(before=12) == [3, 0]
    assert store.trials(before=13) == [12, 3, 0]
    found = store.load(3)
    assert found is not None
    assert torch.equal(found["weight"], state(3.0)["weight"])


def test_views_are_saved_alone(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    store.save(0, {"weight": torch.nn.Parameter(torch.zeros(100_000))[:2]})
    assert store.path(0).stat().st_size < 4000


def test_the_least_recently_used_go(tmp_path: Path) -> None:
    store = holding(tmp_path, files=4)
    for trial in range(4):
        store.save(trial, state(trial))
    store.load(0, used_by=3)
    store.load(1)  # only looked at
    assert store.make_room(4, 2) == [1, 2]
    assert store.trials(before=9) == [3, 0]
    assert store.make_room(4, 2) == [], "a call that is repeated changes nothing"
    store.touch(0, used_by=2)
    assert int(store.path(0).stat().st_mtime) == 3, "an earlier use is no news"


def test_ties_go_by_number(tmp_path: Path) -> None:
    store = holding(tmp_path, files=4)
    for trial in range(4):
        store.save(trial, state(trial))
    for trial in (3, 1, 0, 2):
        store.touch(trial, used_by=9)
    assert store.make_room(10, 3) == [0, 1, 2]


def test_recency_is_no_wall_time(tmp_path: Path) -> None:
    store = holding(tmp_path, files=3)
    for trial in (2, 1, 0):
        store.save(trial, state(trial))
        assert store.path(trial).stat().st_mtime == trial
    os.utime(store.path(1))  # a kill between the write and its clock, or a copy
    assert store.make_room(3, 2) == [0, 1]


def test_larger_files_count_as_they_are(tmp_path: Path) -> None:
    store = holding(tmp_path, files=4)
    store.save(0, state(0.0))
    store.save(1, state(1.0, numbers=1500))
    store.save(2, state(2.0))
    assert store.make_room(3, 1) == [0, 1], "the largest one needs its room again, as long as it is there"


def test_the_order_does_not_depend_on_a_kill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(name: str) -> WeightStore:
        store = WeightStore(tmp_path / name, max_megabytes=8.5 * size_of(tmp_path) / 1e6)
        for trial in range(8):
            store.save(trial, state(trial, numbers=250 + 60 * (trial % 3)))
        return store

    whole, killed = fill("whole"), fill("killed")
    gone = whole.make_room(8, 4)
    unlink, left = Path.unlink, [1]

    def once(self: Path, missing_ok: bool = False) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", once)
    with pytest.raises(KeyboardInterrupt):
        killed.make_room(8, 4)
    monkeypatch.undo()
    killed.save(8, state(8.0))  # of the attempt that was killed
    killed.touch(7, used_by=8)
    assert killed.make_room(8, 4) == gone[1:]
    assert killed.trials(before=8) == whole.trials(before=8)


def test_files_of_a_killed_attempt_do_not_count(tmp_path: Path) -> None:
    store = holding(tmp_path, files=4)
    for trial in range(6):
        store.save(trial, state(trial))
    assert store.make_room(2, 2) == []
    store.save(3, state(33.0))
    found = store.load(3)
    assert found is not None
    assert found["weight"][0] == 33.0


def test_a_kill_in_the_middle_of_a_write(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    store.save(1, state(1.0))
    temporary = tmp_path / ".000002.pt.a1b2c3"
    temporary.write_bytes(b"half of")
    (tmp_path / "notes.txt").write_text("of the user")
    assert store.trials(before=9) == [1]
    assert store.make_room(2, 1) == []
    assert not temporary.exists()
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("content", ["cut", "empty", "garbage", "other", "list"])
def test_a_damaged_file_is_absent_and_reported(tmp_path: Path, content: str) -> None:
    store = WeightStore(tmp_path)
    store.save(1, state(1.0))
    whole = store.path(1).read_bytes()
    if content in ("other", "list"):
        torch.save({"weight": 1} if content == "other" else [torch.zeros(1)], store.path(1))
    else:
        store.path(1).write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "garbage": b"garbage"}[content])
    with pytest.warns(UserWarning, match=r"The weights of trial 1 in .*000001.pt are damaged and are not used: "):
        assert store.load(1, used_by=2) is None


def write(folder: Path, user: int) -> None:
    """What one of two writers does: each trial in turn, while the other may be in the middle of it."""
    warnings.simplefilter("error", UserWarning)  # of a damaged file
    store = WeightStore(folder)
    for _ in range(20):
        for trial in (0, 1):
            store.save(trial, {"weight": torch.full((1000,), float(trial))})
            store.load(1 - trial, used_by=user)


def test_two_processes_at_once(tmp_path: Path) -> None:
    store = WeightStore(tmp_path)
    assert exit_codes(write, [(tmp_path, 3), (tmp_path, 4)]) == [0, 0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000.pt", "000001.pt"]
    for trial in (0, 1):
        found = store.load(trial)
        assert found is not None
        assert found["weight"].eq(trial).all()


def test_wrong_arguments(tmp_path: Path) -> None:
    for wrong in (0, -1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=rf"WeightStore\(max_megabytes={wrong}\): give a positive number"):
            WeightStore(tmp_path, wrong)
    store = WeightStore(tmp_path, max_megabytes=0.01)
    with pytest.raises(ValueError, match=r"max_megabytes=0.01\): the weights of trial 2 alone have 0.0; give room for"):
        store.save(2, state(0.0, numbers=5000))
    with pytest.raises(ValueError, match="trial=-1: trials are numbered from 0"):
        store.load(-1)


def test_recorded_and_placed(tmp_path: Path) -> None:
    store = instantiate(WeightStore("weights", 10).config())
    assert (store.folder, store.max_megabytes) == (Path("weights"), 10)
    assert store.within(tmp_path).folder == tmp_path / "weights"
    assert store.within(tmp_path).max_megabytes == 10
    assert WeightStore(tmp_path).within("elsewhere").folder == tmp_path
