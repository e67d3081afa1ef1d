"""Files of trials: each once, whoever writes, and readable behind a kill at any moment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from helpers.random_trials import random_trial
from helpers.writers import exit_codes
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.runtime.files import complete_lines, locked
from lightning_nas.trials.store import TrialFile
from lightning_nas.trials.trial import Fidelity, Proposal, Trial

TRIALS = [random_trial(number) for number in range(12)]


def numbers(path: Path) -> list[int]:
    """Of the trials in the file, in its order."""
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


def test_what_is_appended_is_read(tmp_path: Path) -> None:
    file = TrialFile(tmp_path / "new" / "folder" / "trials.jsonl")
    assert file.read() == {}
    assert not file.path.parent.exists(), "looking leaves nothing behind"
    for trial in TRIALS:
        file.append([trial])
    assert any(trial.reason for trial in TRIALS)
    assert list(file.read().values()) == list(TrialFile(file.path).read().values()) == TRIALS
    assert numbers(file.path) == list(range(12))


def test_each_trial_is_written_once(tmp_path: Path) -> None:
    one, other = TrialFile(tmp_path / "t.jsonl"), TrialFile(tmp_path / "t.jsonl")
    one.append(TRIALS[:3])
    other.append(TRIALS[2:5])
    one.append(TRIALS[:6])
    one.append(TRIALS[:6])
    other.append([])
    other.append(TRIALS)
    TrialFile(tmp_path / "t.jsonl").append(TRIALS)
    assert numbers(one.path) == list(range(12))


def test_a_cut_line_is_left_out_and_then_removed(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    TrialFile(path).append(TRIALS[:3])
    whole = path.read_bytes()
    end = whole[:-1].rfind(b"\n") + 1  # where the last line begins
    for cut in (*range(end, len(whole), 37), len(whole) - 1):
        path.write_bytes(whole[:cut])
        assert sorted(TrialFile(path).read()) == [0, 1]
        assert path.read_bytes() == whole[:cut], "reading changes nothing"
        TrialFile(path).append(TRIALS[:3])
        assert path.read_bytes() == whole


def test_a_kill_in_another_process_in_between(tmp_path: Path) -> None:
    file = TrialFile(tmp_path / "trials.jsonl")
    file.append(TRIALS[:2])
    with file.path.open("ab") as other:
        other.write(json.dumps(TRIALS[2].to_dict()).encode()[:50])
    file.append(TRIALS[3:4])
    file.append(TRIALS[2:3])
    assert numbers(file.path) == [0, 1, 3, 2]


@pytest.mark.parametrize("length", [0, 1, 100, 4095, 4096, 4097, 20000])
def test_cut_lines_of_any_length(length: int, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for whole in (b"", b"one\n", b"one\n" + b"x" * 5000 + b"\n"):
        path.write_bytes(whole + b"y" * length)
        assert "\n".join(complete_lines(path)) == whole.decode().rstrip("\n")
        with locked(path) as file:
            assert file.tell() == len(whole)
            file.write(b"two\n")
        assert path.read_bytes() == whole + b"two\n"


def test_lines_end_with_a_newline_only(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("a\u2028b\x0bc\x85d\ne\n", encoding="utf-8")
    assert complete_lines(path) == ["a\u2028b\x0bc\x85d", "e"]


@pytest.mark.parametrize("damage", ["half a line\n", "[]\n", '{"id": 1}\n', "\n", "3\n"])
def test_a_damaged_line_is_named(damage: str, tmp_path: Path) -> None:
    file = TrialFile(tmp_path / "trials.jsonl")
    file.append(TRIALS[:1])
    with file.path.open("a") as other:
        other.write(damage)
    message = r"trials\.jsonl, line 2, is no trial \(.*\): repair the file, or give another folder"
    with pytest.raises(MisconfigurationException, match=message):
        TrialFile(file.path).read()


def test_a_line_damaged_during_a_run_is_named(tmp_path: Path) -> None:
    file = TrialFile(tmp_path / "trials.jsonl")
    file.append(TRIALS[:1])
    with file.path.open("a") as other:
        other.write('{"number": 1}\n')
    with pytest.raises(MisconfigurationException, match=r"no trial, b'{\"number\": 1}' .* repair the file"):
        file.append(TRIALS[1:2])


def write(path: Path, rank: int) -> None:
    """What one of two writers does: its own trials at once, then all of the round."""

    def trial(number: int) -> Trial:
        proposal = Proposal(Genotype("S", (("a", "x" * (number % 7)),)), Fidelity())
        return Trial(number, proposal, number, "failed", None, 1.0, reason="µ☃" * (number % 50))

    file = TrialFile(path)
    Path(f"{path}.{rank}").touch()
    while not all(Path(f"{path}.{other}").exists() for other in range(2)):
        pass
    for begin in range(0, 300, 6):
        for number in range(begin + rank, begin + 6, 2):
            file.append([trial(number)])
        file.append([trial(number) for number in range(begin, begin + 6)])


def test_two_processes_lose_and_repeat_nothing(tmp_path: Path) -> None:
    path = tmp_path / "trials.jsonl"
    assert exit_codes(write, [(path, 0), (path, 1)]) == [0, 0]
    assert sorted(numbers(path)) == list(range(300))
    found = TrialFile(path).read()
    assert all(isinstance(trial, Trial) and trial.reason == "µ☃" * (number % 50) for number, trial in found.items())
