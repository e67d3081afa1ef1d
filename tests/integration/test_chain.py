"""`lightning-nas run`: the whole way, after kills, over several seeds, and with mistakes in its settings."""

from __future__ import annotations

import json
import signal
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.commands import EPOCHS, GDAS, KILLER, STAGED, command
from helpers.forks import Forks, interpreter
from lightning_nas.__main__ import main
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.cli.chain import Chain
from lightning_nas.spaces import NasBench201Space

DIGITS = {"class_path": "Digits", "init_args": {"batch_size": 256}}
QUIET = {"accelerator": "cpu", "enable_progress_bar": False, "enable_model_summary": False}


def settings(output: Path, epochs: int = 1, **changes: Any) -> dict[str, Any]:
    """A chain of seconds."""
    search = {
        "model": GDAS,
        "data": {"class_path": "Bilevel", "init_args": {"datamodule": DIGITS}},
        "trainer": {"max_epochs": epochs, **QUIET},
    }
    retrain = {
        "model": {"class_path": "NetworkTraining", "init_args": {"skeleton": STAGED}},
        "data": DIGITS,
        "trainer": {"max_epochs": epochs, **QUIET},
    }
    return {"search": search, "retrain": retrain, "output": str(output), **changes}


def comparable(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if "seconds" not in key and key != "files"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which a chain has run, with its config in `run.yaml`, and what the command has printed."""
    folder = tmp_path_factory.mktemp("chain")
    (folder / "run.yaml").write_text(yaml.safe_dump(settings(folder / "out", random_cells=2)))
    with redirect_stdout(StringIO()) as printed:
        main(["run", "--config", str(folder / "run.yaml")])
    return folder, printed.getvalue()


@pytest.mark.slow
def test_chain_leaves_all_its_files_and_is_not_run_twice(
    finished: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, printed = finished
    summary = json.loads((folder / "out" / "summary.json").read_text())
    for path in summary["files"].values():
        assert Path(path).exists(), path
    assert list(Path(summary["files"]["TensorBoard log"]).glob("events.out.tfevents*"))
    genotype = Genotype.load(summary["files"]["genotype"])
    assert NasBench201Space().format(genotype) == summary["cell"]
    assert len(summary["random"]) == 2
    assert 0.0 < summary["test"] <= 1.0
    assert f"{summary['parameters']:,}" in printed
    assert "random cells" in printed

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a stage was run again")

    monkeypatch.setattr("lightning_nas.cli.chain.fit", refuse)
    main(["run", "--config", str(folder / "run.yaml")])
    assert json.loads((folder / "out" / "summary.json").read_text()) == summary


@pytest.mark.slow
def test_killed_chain_goes_on_where_it_was(forks: Forks, tmp_path: Path) -> None:
    expected = Chain(**settings(tmp_path / "unbroken", epochs=EPOCHS)).run()
    killer = [{"class_path": "killer.Killer"}]
    changed = settings(tmp_path / "killed", epochs=EPOCHS)
    changed["search"]["trainer"]["callbacks"] = changed["retrain"]["trainer"]["callbacks"] = killer
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(changed))
    (tmp_path / "killer.py").write_text(KILLER)
    words = ("run", "--config", "run.yaml")
    assert (
        command(forks.run, tmp_path, *words, kill=True).returncode == -signal.SIGKILL
    )  # in the third epoch of the search
    assert not (tmp_path / "killed" / "state.json").exists()
    # It goes on behind the batch that kills, so the same kill now comes in the training.
    assert command(forks.run, tmp_path, *words, kill=True).returncode == -signal.SIGKILL
    assert list(json.loads((tmp_path / "killed" / "state.json").read_text())["stages"]) == ["search-0"]
    finished = command(interpreter, tmp_path, *words)
    assert finished.returncode == 0, finished.stderr[-2000:]
    summary = json.loads((tmp_path / "killed" / "summary.json").read_text())
    assert comparable(summary) == comparable(expected)


@pytest.mark.slow
def test_several_seeds_take_the_best_by_validation_accuracy(tmp_path: Path) -> None:
    chain = Chain(**settings(tmp_path / "out", seeds=[0, 1, 2], select_epochs=1))
    summary = chain.run()
    stages = json.loads((tmp_path / "out" / "state.json").read_text())["stages"]
    scores = {seed: stages[f"select-{seed}"]["validation"] for seed in (0, 1, 2)}
    best = max(scores, key=lambda seed: scores[seed])
    space = NasBench201Space()
    assert summary["cell"] == space.format(Genotype.from_dict(stages[f"search-{best}"]["genotype"]))
    final = yaml.safe_load((tmp_path / "out" / "retrain.yaml").read_text())["model"]["init_args"]["genotype"]
    assert summary["cell"] == space.format(Genotype.from_dict(final))


def test_mistakes_show_before_the_search(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"select_epochs=None: with several seeds"):
        Chain(**settings(tmp_path, seeds=[0, 1]))
    with pytest.raises(ValueError, match=r"seeds=\[0, 0\]"):
        Chain(**settings(tmp_path, seeds=[0, 0]))
    with pytest.raises(ValueError, match=r"missing\.yaml.*no such config file"):
        Chain(**{**settings(tmp_path), "search": "missing.yaml"})
    blind = settings(tmp_path / "blind", seeds=[0, 1], select_epochs=1)
    blind["retrain"]["data"] = {"class_path": "Digits", "init_args": {"batch_size": 256, "validation": 0.0}}
    with pytest.raises(ValueError, match=r"validation=0: set a share"):
        Chain(**blind).run()


@pytest.mark.slow
def test_selection_may_have_a_config_of_its_own(tmp_path: Path) -> None:
    chain = settings(tmp_path / "out", seeds=[0, 1])
    chain["select"] = {**chain["retrain"], "trainer": {"max_epochs": 1, **QUIET}}
    chain["retrain"]["data"] = {"class_path": "Digits", "init_args": {"batch_size": 256, "validation": 0.0}}
    chain["retrain"]["trainer"]["limit_val_batches"] = 0
    Chain(**chain).run()
    log = (tmp_path / "out" / "select-1" / "config.yaml").read_text()
    assert yaml.safe_load(log)["trainer"]["max_epochs"] == 1


@pytest.mark.slow
def test_output_of_other_settings_is_not_touched(finished: tuple[Path, str]) -> None:
    folder = finished[0] / "out"
    before = (folder / "state.json").read_text()
    with pytest.raises(ValueError, match="other settings"):
        Chain(**settings(folder, random_cells=2, seeds=[1])).run()
    assert (folder / "state.json").read_text() == before
