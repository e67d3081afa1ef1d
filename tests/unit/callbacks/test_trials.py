"""Callbacks around a search that trains children: what is shown, written, kept, and refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from helpers.parsed_configs import parse
from helpers.small_fits import At, TinyData, events, gdas, interrupted
from lightning_nas import (
    CellSkeleton,
    Evaluation,
    Evaluator,
    Fidelity,
    FitEvaluator,
    Genotype,
    MultiTrialSearch,
    NetworkTraining,
    RandomSearch,
    SuccessiveHalving,
    TooManyFailuresError,
    UniformSampler,
)
from lightning_nas.callbacks import (
    ArchitectureMonitor,
    DropPathSchedule,
    ExtractGenotype,
    StackCells,
    TemperatureSchedule,
    TrialMonitor,
)
from lightning_nas.data import Digits
from lightning_nas.evaluators import Job
from lightning_nas.spaces import ChainSkeleton, ConvChainSpace, NasBench201Space, NasnetSpace

pytestmark = pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning")
REWARDS = [0.3, 0.2, 0.7, 0.1, 0.9, 0.4]
CELLS = CellSkeleton(cells=2, channels=4, in_channels=1)


class Told(Evaluator):
    """Rewards from a list, one curve of the epochs that are trained; a negative one is a failure."""

    def __init__(self, rewards: list[float]) -> None:
        self.rewards = rewards

    def evaluate(self, job: Job) -> Evaluation:
        reward = self.rewards[job.trial]
        if reward < 0:
            raise RuntimeError("broken")
        curve = tuple(reward * (epoch + 1) / job.proposal.epochs for epoch in range(job.proposal.epochs))
        return Evaluation({"val/accuracy": curve[-1]}, {"val/accuracy": curve, "train/loss": curve}, seconds=2.0)


def told(rewards: list[float] | None = None, **arguments: Any) -> RandomSearch:
    rewards = rewards or REWARDS
    settings = {"trials": len(rewards), "fidelity": Fidelity(epochs=3), "skeleton": CELLS} | arguments
    return RandomSearch(NasnetSpace(blocks=2), Told(rewards), **settings)


def fit(search: Any, kwargs: dict[str, Any], *callbacks: L.Callback, **arguments: Any) -> L.Trainer:
    trainer = L.Trainer(**(kwargs | {"max_epochs": 1} | arguments), callbacks=list(callbacks))
    trainer.fit(search)
    return trainer


def logger(folder: Path) -> TensorBoardLogger:
    return TensorBoardLogger(folder, name="", version="")


# --- ExtractGenotype --------------------------------------------------------------------------------------------------


def test_genotype_follows_the_best_within_the_epoch(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    seen: list[Genotype] = []
    looks = [At(n, lambda _: seen.append(Genotype.load(tmp_path / "genotype.yaml"))) for n in (2, 3, 4, 5, 6)]
    search = told()
    fit(search, trainer_kwargs, ExtractGenotype(), *looks)
    trials = [search.runner.known[number].genotype for number in range(6)]
    assert seen == [trials[0], trials[0], trials[2], trials[2], trials[4]]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genotype.png", "genotype.yaml", "trials.jsonl"]


def test_nothing_is_written_before_a_child_has_worked(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = told([-1.0, -1.0], max_failures=2)
    with pytest.raises(TooManyFailuresError, match="The last 2 children have failed: RuntimeError: broken"):
        fit(search, trainer_kwargs, ExtractGenotype(), StackCells(CELLS))
    assert [path.name for path in tmp_path.iterdir()] == ["trials.jsonl"]


def test_started_again_it_keeps_one_file(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    fit(told(trials=4), trainer_kwargs, ExtractGenotype())
    search = told()
    fit(search, trainer_kwargs, ExtractGenotype())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["genotype.png", "genotype.yaml", "trials.jsonl"]
    assert Genotype.load(tmp_path / "genotype.yaml") == search.runner.known[4].genotype
    (tmp_path / "genotype.yaml").write_text("mine")
    fit(told(), trainer_kwargs, ExtractGenotype())
    assert (tmp_path / "genotype.yaml.1").read_text() == "mine"


def test_a_chain_is_written_as_text(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    space = ConvChainSpace(depths=(2, 3))
    search = RandomSearch(space, Told(REWARDS), ChainSkeleton(8, in_channels=1), trials=6)
    trainer = fit(search, trainer_kwargs, ExtractGenotype(), logger=logger(tmp_path))
    assert not (tmp_path / "genotype.png").exists()
    assert Genotype.load(tmp_path / "genotype.yaml") == search.derive()
    trainer.save_checkpoint(tmp_path / "search.ckpt")
    state = torch.load(tmp_path / "search.ckpt", weights_only=True)["callbacks"]
    assert state[ExtractGenotype().state_key]["genotype"] == search.derive().to_dict()
    assert "genotype/text_summary" in events(tmp_path).Tags()["tensors"]


# --- StackCells -------------------------------------------------------------------------------------------------------


def small(space: Any, skeleton: Any, **arguments: Any) -> RandomSearch:
    pytest.importorskip("sklearn")
    evaluator = FitEvaluator(Digits(batch_size=256, validation=0.2))
    return RandomSearch(space, evaluator, skeleton, Fidelity(epochs=1, share=0.3), trials=2, **arguments)


def test_cells_found_on_a_small_network_train_in_a_larger_one(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = small(NasnetSpace(blocks=2), CELLS)
    larger = CellSkeleton(cells=5, channels=6, in_channels=1)
    fit(search, trainer_kwargs, StackCells(larger, epochs=1, drop_path=0.4))
    cli = parse(tmp_path / "retrain.yaml")
    assert isinstance(cli.model, NetworkTraining)
    assert (cli.model.genotype, cli.model.skeleton) == (search.derive(), larger)
    assert isinstance(search.evaluator, FitEvaluator)
    assert cli.datamodule.config() == search.evaluator.datamodule.config()
    assert [c.probability for c in cli.trainer.callbacks if isinstance(c, DropPathSchedule)] == [0.4]
    trainer = L.Trainer(**trainer_kwargs, max_epochs=1, limit_train_batches=2, callbacks=[DropPathSchedule(0.4)])
    trainer.fit(cli.model, cli.datamodule)
    assert 0.0 <= float(trainer.callback_metrics["val/accuracy"]) <= 1.0


def test_a_chain_is_trained_without_drop_path(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    fit(
        small(ConvChainSpace(depths=(2,)), ChainSkeleton(8, in_channels=1)),
        trainer_kwargs,
        StackCells(ChainSkeleton(16, in_channels=1), epochs=1),
    )
    config = yaml.safe_load((tmp_path / "retrain.yaml").read_text())
    assert config["trainer"] == {"max_epochs": 1}
    cli = parse(tmp_path / "retrain.yaml")
    L.Trainer(**trainer_kwargs, max_epochs=1, limit_train_batches=1).fit(cli.model, cli.datamodule)


def test_a_config_without_known_data_says_so(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="retrain.yaml has no `data`"):
        fit(told(), trainer_kwargs, StackCells(CELLS))
    assert "Give the data too" in (tmp_path / "retrain.yaml").read_text()


# --- TrialMonitor -----------------------------------------------------------------------------------------------------


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = events(folder)
    return {tag: [(e.step, round(e.value, 4)) for e in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def test_curves_of_children_lie_over_each_other(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    fit(told([0.3, -1.0, 0.6]), trainer_kwargs, TrialMonitor(), logger=logger(tmp_path))
    children = tmp_path / "children"
    assert sorted(path.name for path in children.iterdir()) == ["00000", "00002"], "a failed child has no curves"
    expected = [(0, 0.2), (1, 0.4), (2, 0.6)]
    assert curves(children / "00002") == {"val/accuracy": expected, "train/loss": expected}


def test_a_child_is_not_written_twice(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    fit(told(trials=2), trainer_kwargs, TrialMonitor(), logger=logger(tmp_path))
    left = tmp_path / "children" / ".00002"  # of a kill
    left.mkdir()
    (left / "events.out.tfevents.0").write_bytes(b"half")
    fit(told(trials=3), trainer_kwargs, TrialMonitor(), logger=logger(tmp_path))
    assert [len(list(path.iterdir())) for path in sorted((tmp_path / "children").iterdir())] == [1, 1, 1]
    assert curves(tmp_path / "children" / "00002")["val/accuracy"][-1] == (2, 0.7)


def test_a_child_that_goes_on_begins_where_its_parent_ended(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    rungs = [Fidelity(epochs=1), Fidelity(epochs=3)]
    sampler = SuccessiveHalving(UniformSampler(NasBench201Space()), rungs, keep=0.5)
    search = MultiTrialSearch(sampler, Told([0.5, 0.4, 0.8]), trials=3)
    fit(search, trainer_kwargs, TrialMonitor(), logger=logger(tmp_path))
    assert curves(tmp_path / "children" / "00002")["val/accuracy"] == [(1, 0.4), (2, 0.8)]


def test_table_of_the_best(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = told()
    fit(search, trainer_kwargs, TrialMonitor(curves=False, best=2), logger=logger(tmp_path))
    assert not (tmp_path / "children").exists()
    found = events(tmp_path).Tensors("search/trials/text_summary")
    assert len(found) == 4, "written where it has changed: after trials 0, 1, 2 and 4"
    lines = found[-1].tensor_proto.string_val[0].decode().splitlines()
    assert lines[0] == "| trial | reward | fidelity | seconds | genotype |"
    assert [line.split(" | ")[:4] for line in lines[2:]] == [
        ["| 4", "0.9000", "epochs 3", "2.0"],
        ["| 2", "0.7000", "epochs 3", "2.0"],
    ]
    assert search.space.format(search.derive()) in lines[2]


def test_table_shows_pipes_of_a_genotype(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    markdown = pytest.importorskip("markdown")
    search = RandomSearch(NasBench201Space(), Told(REWARDS), trials=1)
    fit(search, trainer_kwargs, TrialMonitor(), logger=logger(tmp_path))
    text = events(tmp_path).Tensors("search/trials/text_summary")[0].tensor_proto.string_val[0].decode()
    html = markdown.markdown(text, extensions=["markdown.extensions.tables"])
    assert f"<code>{search.space.format(search.derive())}</code>" in html


def test_without_tensorboard_nothing_is_written(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    fit(told(), trainer_kwargs, TrialMonitor())
    assert [path.name for path in tmp_path.iterdir()] == ["trials.jsonl"]


# --- the progress bar, and refusals -----------------------------------------------------------------------------------


def test_bar_shows_time_left_and_the_best(
    trainer_kwargs: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    fit(told(), trainer_kwargs | {"enable_progress_bar": True}, TQDMProgressBar())
    last = capsys.readouterr().out.replace("\n", "\r").rstrip("\r").split("\r")[-1]
    assert re.search(r"6/6 \[\d+:\d+<\d+:\d+, .*it/s", last), last
    assert "search/best=0.900" in last
    assert "search/reward=0.400" in last


def test_rich_bar_shows_the_same(trainer_kwargs: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    fit(told(), trainer_kwargs | {"enable_progress_bar": True}, RichProgressBar())
    out = " ".join(capsys.readouterr().out.split())
    assert "6/6" in out
    assert "search/best: 0.900" in out


def test_architecture_monitor_counts_the_best_cell(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = told()
    fit(search, trainer_kwargs, ArchitectureMonitor(skip_limit=1.0), logger=logger(tmp_path))
    found = events(tmp_path)
    tags = [tag for tag in found.Tags()["scalars"] if tag.startswith("search/count/normal/")]
    assert sum(found.Scalars(tag)[-1].value for tag in tags) == 4, "two blocks with two operations each"


def test_interrupted_search_leaves_everything(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    def interrupt(_: Any) -> None:
        raise KeyboardInterrupt

    search = told()
    with interrupted(), pytest.warns(UserWarning, match="no `data`"):
        fit(search, trainer_kwargs, ExtractGenotype(), StackCells(CELLS), At(4, interrupt))
    assert Genotype.load(tmp_path / "genotype.yaml") == search.runner.known[2].genotype
    assert (tmp_path / "retrain.yaml").is_file()


def test_refusals(trainer_kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"TrialMonitor\(best=-1\): give the number of rows, or 0"):
        TrialMonitor(best=-1)
    message = r"TrialMonitor needs a search that trains children, but the model is a GdasSearch: remove the callback"
    with pytest.raises(MisconfigurationException, match=message):
        L.Trainer(**trainer_kwargs, max_epochs=1, callbacks=[TrialMonitor()]).fit(gdas(), datamodule=TinyData())
    chain = RandomSearch(ConvChainSpace(depths=(2,)), Told(REWARDS), ChainSkeleton(in_channels=1), trials=1)
    with pytest.raises(MisconfigurationException, match="SupernetSpace, but ConvChainSpace is none: remove the"):
        fit(chain, trainer_kwargs, ArchitectureMonitor())
    with pytest.raises(MisconfigurationException, match="RandomSearch has no relaxation with a temperature"):
        fit(told(), trainer_kwargs, TemperatureSchedule())
    with pytest.raises(MisconfigurationException, match=r"StackCells.*ConvChainSpace builds on a ChainSkeleton"):
        fit(chain, trainer_kwargs, StackCells(CELLS))
