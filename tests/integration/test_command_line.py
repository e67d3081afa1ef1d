"""What a user reads who mistypes: one message, no traceback, and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_nas.__main__ import main

pytestmark = pytest.mark.slow

CONFIG: dict[str, Any] = {
    "model": {
        "class_path": "DartsSearch",
        "init_args": {
            "space": {"class_path": "DartsSpace"},
            "skeleton": {"class_path": "CellSkeleton", "init_args": {"cells": 2, "channels": 4, "in_channels": 1}},
        },
    },
    "data": {"class_path": "Bilevel", "init_args": {"datamodule": {"class_path": "Digits"}}},
    "trainer": {"max_epochs": 1, "accelerator": "cpu", "logger": False},
}


def told(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Standard error of a command that fails before it has written anything."""
    monkeypatch.chdir(folder)
    before = set(folder.rglob("*"))
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code not in (0, None)
    assert set(folder.rglob("*")) - before <= {folder / "config.yaml"}, "but for the config, which Lightning keeps"
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


CHANGES: dict[str, tuple[list[str], str]] = {
    "candidate": (
        ["--model.init_args.space.init_args.candidates=[none, conv_9x9]"],
        "error: candidates: 'conv_9x9' is unknown",
    ),
    "channels": (["--model.init_args.skeleton.init_args.in_channels=3"], "error: The images have 1 channels"),
    "clip": (["--trainer.gradient_clip_val=2.0"], "error: Trainer(gradient_clip_val=2.0)"),
    "option": (["--model.init_args.ordr=2"], "'ordr' is not accepted"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_mistakes_in_a_fit(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, expected = CHANGES[case]
    (tmp_path / "config.in.yaml").write_text(yaml.safe_dump(CONFIG))
    assert expected in told(["fit", "--config", "config.in.yaml", *changes], tmp_path, capsys, monkeypatch)


def test_mistakes_in_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["run", "--search", "missing.yaml", "--retrain", "missing.yaml"]
    assert "'missing.yaml': no such config file" in told(words, tmp_path, capsys, monkeypatch)
    (tmp_path / "training.yaml").write_text(yaml.safe_dump(CONFIG))
    retrain = {"model": {"class_path": "NetworkTraining", "init_args": {"clip": -1.0}}}
    retrain["model"]["init_args"]["skeleton"] = CONFIG["model"]["init_args"]["skeleton"]
    (tmp_path / "retrain.yaml").write_text(yaml.safe_dump({**CONFIG, **retrain}))
    words = ["run", "--search", "training.yaml", "--retrain", "retrain.yaml", "--output", "out"]
    assert "NetworkTraining(clip=-1.0)" in told(words, tmp_path, capsys, monkeypatch)


def test_no_such_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no command 'serch'" in told(["serch"], tmp_path, capsys, monkeypatch)


def test_traceback_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.in.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIGHTNING_NAS_TRACEBACK", "1")
    with pytest.raises(Exception, match="1 channels"):
        main(["fit", "--config", "config.in.yaml", "--model.init_args.skeleton.init_args.in_channels=3"])
