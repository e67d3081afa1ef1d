"""Every YAML file under `configs/` is instantiated and built, here or in test_recipes; the smoke ones are run."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
import torch
from jsonargparse import ArgumentParser

from helpers.parsed_configs import FILES, PARSING, ROOT, check, construct, constructed, is_chain
from lightning_nas import Genotype, NetworkTraining, SearchModule
from lightning_nas.__main__ import main
from lightning_nas.cli.chain import Chain
from lightning_nas.cli.nas_cli import NasCLI
from lightning_nas.cli.stages import training_config
from lightning_nas.data import ImageFolder
from lightning_nas.runtime.seeding import generator

pytestmark = [pytest.mark.slow, *PARSING]
# The full configs of the methods are in test_recipes, which has them parsed.
FITS = [file for file in FILES if not is_chain(file) and (file.count("/") == 1 or "/smoke/" in file)]
CHAINS = [file for file in FILES if is_chain(file)]


@pytest.fixture(autouse=True)
def in_a_folder_without_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lightning-nas"])


@pytest.mark.parametrize("file", FITS)
def test_fit_config_is_constructed(file: str) -> None:
    check(constructed(file))


@pytest.mark.parametrize("file", CHAINS)
def test_chain_config_is_constructed(file: str) -> None:
    parser = ArgumentParser()
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(Chain)
    values = parser.parse_args(["--config", file]).as_dict()
    del values["config"]
    chain = Chain(**values)
    assert isinstance(chain.search, dict)
    assert isinstance(chain.retrain, dict)
    search = construct(chain.search)
    assert isinstance(search.model, SearchModule)
    space = search.model.space
    for config in (chain.retrain, chain.select):
        assert isinstance(config, dict)
        training = construct(training_config(config, space.config(), space.sample(generator(0, "test"))))
    assert isinstance(training.model, NetworkTraining)
    if not isinstance(training.datamodule, ImageFolder):  # its folder is the user's
        assert training.datamodule.classes == training.model.skeleton.classes
    assert len(chain.seeds) == 1 or training.datamodule.validation > 0, "the choice needs validation images"


def test_fit_configs_name_classes_without_a_path() -> None:
    for file in FILES:
        text = (ROOT / file).read_text()
        assert "class_path: lightning" not in text, f"{file}: short class names"
        assert text.startswith("#"), f"{file}: say what it is and how to run it"
        assert f"--config {file}" in text, f"{file}: show the command"


@pytest.mark.parametrize("file", [file for file in FITS if "smoke" in file])
def test_smoke_fit(file: str) -> None:
    main(["fit", "--config", file, "--trainer.enable_progress_bar", "false", "--trainer.enable_model_summary", "false"])
    logs = Path("runs/smoke", Path(file).stem)
    if not (logs / "trials.jsonl").is_file():
        logs /= "lightning_logs/version_0"
    assert list(logs.glob("checkpoints/*.ckpt"))
    if "training" in file:
        return
    assert Genotype.load(logs / "genotype.yaml")
    if "ConvChainSpace" not in Path(file).read_text():  # it has no picture
        assert (logs / "genotype.png").is_file()
    if "StackCells" in Path(file).read_text():
        with torch.device("meta"):
            cli = NasCLI(["--config", str(logs / "retrain.yaml")], run=False)
        assert isinstance(cli.model, NetworkTraining)


@pytest.mark.parametrize("file", [file for file in CHAINS if "smoke" in file])
def test_smoke_chain(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", "--config", file])
    assert "cell found" in capsys.readouterr().out
    for path in ("summary.json", "retrain.yaml", "search-0/genotype.yaml", "search-1/genotype.yaml"):
        assert Path("runs/smoke/run", path).is_file(), path
