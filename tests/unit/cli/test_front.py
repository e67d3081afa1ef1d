"""`lightning-nas front`: what is written and never overwritten, and that what is written trains."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

from helpers.fronts import front, members
from lightning_nas import Genotype, NetworkTraining, StagedSkeleton
from lightning_nas.__main__ import main
from lightning_nas.spaces import ChainSkeleton, ConvChainSpace

# Lightning's command line uses parts of jsonargparse that the next major version drops.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:\s*By default only one JsonargparseDeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:[\s\S]*was deprecated in v4.49.0"),
]


def run(*words: str) -> None:
    main(["front", *words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "front.json").write_text(front().to_json())
    return tmp_path


def complaint(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        run(*words)
    assert stop.value.code not in (0, None)
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(str(folder))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == ["trial", "val/accuracy", "latency_ms", "params"]
    assert lines[1:] == [["10", "0.9", "8", "900"], ["11", "0.8", "5", "950"], ["12", "0.6", "3.5", "500"]]
    assert [path.name for path in folder.iterdir()] == ["front.json"]


def test_what_is_picked_trains(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn")
    run(str(folder / "front.json"), "--pick", "latency_ms<8,params<=950", "--pick", "val/accuracy>0.5", "--epochs", "1")
    said = capsys.readouterr().out
    assert [line[0] for line in said.splitlines()[1:4]] == [" ", "*", " "]
    assert f"lightning-nas fit --config {folder / 'retrain.yaml'}" in said
    config = yaml.safe_load((folder / "retrain.yaml").read_text())
    assert config["model"]["init_args"]["genotype"] == members()[1].genotype.to_dict()
    assert config["seed_everything"] == 3
    monkeypatch.setattr(sys, "argv", ["lightning-nas"])
    quiet = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    main(["fit", "--config", str(folder / "retrain.yaml"), f"--trainer.default_root_dir={folder}", *quiet])
    assert list(folder.rglob("*.ckpt")), "trained"


def test_a_template_is_filled_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template = {
        "model": {
            "class_path": "NetworkTraining",
            "init_args": {"clip": 1.5, "skeleton": StagedSkeleton(channels=6, in_channels=1).config()},
        },
        "trainer": {"max_epochs": 77},
    }
    (folder / "template.yaml").write_text(yaml.safe_dump(template))
    words = ["--best", "latency_ms", "--retrain", str(folder / "template.yaml"), "--output", str(folder / "a.yaml")]
    run(str(folder), *words)
    said = capsys.readouterr().out
    assert "Costs above are those on StagedSkeleton(channels=2" in said
    assert "template.yaml has StagedSkeleton(channels=6" in said
    config = yaml.safe_load((folder / "a.yaml").read_text())
    arguments = config["model"]["init_args"]
    assert (arguments["clip"], arguments["skeleton"]["init_args"]["channels"]) == (1.5, 6)
    assert arguments["genotype"] == members()[2].genotype.to_dict()
    assert config["trainer"]["max_epochs"] == 77
    assert config["data"]["class_path"].endswith("Digits")
    assert isinstance(Genotype.from_dict(arguments["genotype"]), Genotype)
    assert NetworkTraining(**arguments).skeleton.channels == 6


def test_a_chain_has_no_drop_path(tmp_path: Path) -> None:
    space = ConvChainSpace(depths=(2,))
    (tmp_path / "front.json").write_text(front(space, ChainSkeleton(4, in_channels=1)).to_json())
    run(str(tmp_path), "--best", "val/accuracy")
    assert yaml.safe_load((tmp_path / "retrain.yaml").read_text())["trainer"] == {"max_epochs": 600}


def test_nothing_is_overwritten(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "retrain.yaml").write_text("mine")
    said = complaint([str(folder), "--best", "val/accuracy"], capsys)
    assert "retrain.yaml is there already: give another --output, or --overwrite to replace it." in said
    assert (folder / "retrain.yaml").read_text() == "mine"
    run(str(folder), "--best", "val/accuracy", "--overwrite")
    written = (folder / "retrain.yaml").read_text()
    run(str(folder), "--best", "val/accuracy")  # the same again
    assert (folder / "retrain.yaml").read_text() == written != "mine"


def test_mistakes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = {"class_path": "NetworkTraining", "init_args": {"skeleton": StagedSkeleton().config()}}
    (folder / "rgb.yaml").write_text(yaml.safe_dump({"model": model}))
    (folder / "broken.json").write_text("{")
    best = (str(folder), "--best", "val/accuracy")
    expected = {
        ("nowhere",): "nowhere: no such file. Give a folder or a file that the callback ParetoFront wrote.",
        (str(folder / "broken.json"),): "broken.json is no front as the callback ParetoFront writes it",
        (str(folder), "--pick", "latency_ms<1"): "the nearest one, trial 12, has latency_ms 3.5, 2.5 too much",
        (str(folder), "--pick", "latency"): "--pick 'latency' is no condition",
        (*best, "--retrain", "none.yaml"): "--retrain 'none.yaml': no such file.",
        (*best, "--retrain", str(folder / "rgb.yaml")): "has in_channels=3, but the data",
        (*best, "--epochs", "0"): "--epochs 0: give at least 1.",
        (*best, "--drop-path", "1"): "--drop-path 1.0: give a number in [0, 1).",
    }
    for words, message in expected.items():
        assert message in complaint(list(words), capsys), words
    assert not (folder / "retrain.yaml").exists()
