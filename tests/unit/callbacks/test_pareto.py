"""`ParetoFront` and `ParetoSearch`: what is compared in each family, what is written, and that it resumes exactly."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from helpers.known_children import read_trials
from helpers.small_fits import TinyData, events, gdas
from lightning_nas import (
    Budget,
    Derivation,
    EnasSearch,
    Evaluation,
    Evaluator,
    Macs,
    MetricReward,
    MultiTrialSearch,
    Parameters,
    ParetoSearch,
    RandomSearch,
    StagedSkeleton,
)
from lightning_nas.callbacks import ParetoFront
from lightning_nas.data import Digits, Phased
from lightning_nas.evaluators import Job
from lightning_nas.pareto.front import Front
from lightning_nas.runtime.seeding import derive_seed
from lightning_nas.spaces import NasBench201Space
from lightning_nas.trials.objectives import Direction, Objectives

pytestmark = pytest.mark.slow

SPACE = NasBench201Space()
SMALL = StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)
BOTH: dict[str, Direction] = {"val/accuracy": "max", "latency_ms": "min"}


class Two(Evaluator):
    """Accuracy and latency that follow from the genotype; some trials fail."""

    def __init__(self, failing: int = 0) -> None:
        self.failing = failing

    def evaluate(self, job: Job) -> Evaluation:
        if self.failing and job.trial % self.failing == 1:
            raise RuntimeError("broken")
        options = [option for _, option in job.proposal.genotype]
        accuracy, latency = (derive_seed(purpose, *options) % 1000 / 1000 for purpose in (0, 1))
        return Evaluation({"val/accuracy": accuracy, "latency_ms": 1 + latency}, seconds=1.0)


def pareto(**arguments: Any) -> ParetoSearch:
    settings = {"population": 6, "trials": 36, "objectives": BOTH} | arguments
    return ParetoSearch(SPACE, settings.pop("evaluator", Two(5)), SMALL, **settings)


def fit(search: Any, kwargs: dict[str, Any], *callbacks: L.Callback, data: Any = None, **arguments: Any) -> L.Trainer:
    trainer = L.Trainer(**(kwargs | {"max_epochs": 1} | arguments), callbacks=list(callbacks))
    trainer.fit(search, datamodule=data, ckpt_path=None)
    return trainer


def logger(folder: Path) -> TensorBoardLogger:
    return TensorBoardLogger(folder, name="", version="")


# --- children ---------------------------------------------------------------------------------------------------------


def test_front_of_children(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    reference = {"val/accuracy": 0.1, "latency_ms": 1.9}
    callback = ParetoFront(reference=reference)
    search = pareto()
    fit(search, trainer_kwargs, callback, logger=logger(tmp_path))
    trials, objectives = read_trials(tmp_path), Objectives(BOTH)
    assert sum(trial.status == "failed" for trial in trials) == 7
    assert search.front == objectives.front(trials)
    front = Front.load(tmp_path)
    assert [(m.trial, m.genotype, m.metrics) for m in front.members] == [
        (trial.id, trial.genotype, trial.metrics) for trial in search.front
    ]
    assert front.reference == reference
    volumes = [objectives.hypervolume(trials[: trial.id + 1], reference) for trial in trials]
    logged = events(tmp_path).Scalars("search/hypervolume")
    complete = {trial.id for trial in trials if trial.status == "complete"}
    assert {e.step: pytest.approx(e.value) for e in logged if e.step in complete} == {n: volumes[n] for n in complete}
    grown = [(n, v) for n, v in enumerate(volumes) if v != (volumes[n - 1] if n else None)]
    assert front.curve == tuple(grown)
    rows = list(csv.reader((tmp_path / "front.csv").read_text().splitlines()))
    assert rows[0] == ["trial", "val/accuracy", "latency_ms", "genotype"]
    assert [SPACE.parse(row[-1]) for row in rows[1:]] == [trial.genotype for trial in search.front]
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "search/front" in events(tmp_path).Tags()["images"]
    assert search.derive() == max((t for t in trials if t.reward), key=lambda t: t.reward or 0).genotype
    assert sorted(events(tmp_path).Scalars("search/front"), key=lambda e: e.step)[-1].value >= 1


def test_any_sampler_has_a_front(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = RandomSearch(SPACE, Two(), SMALL, trials=20)
    fit(search, trainer_kwargs, ParetoFront(BOTH, picture=False))
    trials = read_trials(tmp_path)
    assert [m.trial for m in Front.load(tmp_path).members] == [t.id for t in Objectives(BOTH).front(trials)]
    assert search.front == [search.best], "the sampler has no objectives"
    assert not (tmp_path / "front.png").exists()


def test_costs_of_the_callback_are_added(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    final = StagedSkeleton(channels=8, cells_per_stage=2, in_channels=1)
    search = RandomSearch(SPACE, Two(), SMALL, trials=10)
    fit(search, trainer_kwargs, ParetoFront(costs=[Parameters()], skeleton=final, picture=False))
    front = Front.load(tmp_path)
    assert front.objectives == {"val/accuracy": "max", "params": "min"}
    for member in front.members:
        assert member.metrics["params"] == Parameters()(SPACE, member.genotype, final)
    assert front.network["skeleton"] == final.config()


def test_budgets_costs_are_the_objectives(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = RandomSearch(SPACE, Two(), SMALL, trials=6, budget=Budget())
    fit(search, trainer_kwargs, ParetoFront(picture=False))
    front = Front.load(tmp_path)
    assert list(front.objectives.items()) == [("val/accuracy", "max"), ("params", "min"), ("macs", "min")]
    assert front.reference["params"] == 2 * read_trials(tmp_path)[0].metrics["params"]


def test_what_can_be_counted_is_by_default(trainer_kwargs: dict[str, Any]) -> None:
    search = ParetoSearch(SPACE, Two(), SMALL, population=4, trials=8)
    fit(search, trainer_kwargs)
    assert list(search.sampler.objectives.directions) == ["val/accuracy", "macs"]
    assert all(trial.metrics["macs"] == Macs()(SPACE, trial.genotype, SMALL) for trial in search.front)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".json", ".csv", ".png", ".1")}


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual", "ignore:You're resuming from a checkpoint that")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_resumed_and_restarted_it_is_the_same(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    def run(folder: str, rounds: int, checkpoint: Path | None = None) -> tuple[ParetoSearch, ParetoFront]:
        search, callback = pareto(trials=6 * rounds), ParetoFront()
        save = ModelCheckpoint(tmp_path / folder, "{step}", every_n_train_steps=8, save_top_k=-1)
        kwargs = trainer_kwargs | {"enable_checkpointing": True, "default_root_dir": tmp_path / folder, "max_epochs": 1}
        L.Trainer(**kwargs, callbacks=[callback, save]).fit(search, ckpt_path=checkpoint)
        return search, callback

    whole, kept = run("whole", 6)
    expected = files(tmp_path / "whole")
    assert set(expected) == {"front.json", "front.csv", "front.png"}
    run("restarted", 4)
    restarted, _ = run("restarted", 6)
    assert restarted.front == whole.front
    assert files(tmp_path / "restarted") == expected, "no copies either"
    resumed, again = run("resumed", 6, tmp_path / "whole" / "step=16.ckpt")  # within the third round
    assert resumed.front == whole.front
    assert again.record.to_dict() == kept.record.to_dict()
    assert files(tmp_path / "resumed") == expected


def test_a_users_file_is_kept(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    (tmp_path / "front.json").write_text("mine")
    fit(pareto(), trainer_kwargs, ParetoFront())
    assert (tmp_path / "front.json.1").read_text() == "mine"
    fit(pareto(filename="other.jsonl", population=4, trials=8), trainer_kwargs, ParetoFront())
    assert json.loads((tmp_path / "front.json.2").read_text())["search"] == "ParetoSearch", "of another search"


def test_a_missing_metric_stops_at_the_first_child(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    search = pareto(objectives={"val/accuracy": "max", "energy": "min"})
    with pytest.raises(MisconfigurationException, match=r"no metric 'energy'; networks have val/accuracy, latency_ms"):
        fit(search, trainer_kwargs)
    assert len(read_trials(tmp_path)) == 1


def test_arguments_of_the_search() -> None:
    assert (pareto().round_size, pareto(round_size=3).round_size) == (6, 3)
    assert pareto().reward.config() == MetricReward("val/accuracy").config()
    with pytest.raises(ValueError, match=r"ParetoSearch\(objectives=.*none is to be large: give a reward"):
        pareto(objectives={"val/loss": "min", "latency_ms": "min"})
    assert isinstance(pareto(objectives={"a": "min", "b": "min"}, reward=MetricReward("c")), MultiTrialSearch)


# --- supernets --------------------------------------------------------------------------------------------------------


def test_front_of_a_derivation(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    pytest.importorskip("sklearn")
    search = EnasSearch(SPACE, SMALL, Derivation(12, round_size=4, every=1), round_size=2, hidden=8)
    data = Phased(Digits(batch_size=32, validation=0.1), 0.5, sampler_steps=2, weight_steps=2)
    callback = ParetoFront(costs=[Parameters()], picture=False)
    fit(search, trainer_kwargs, callback, data=data, max_epochs=2, limit_val_batches=1, logger=logger(tmp_path))
    priced = {t.id: t.metrics | {"params": Parameters()(SPACE, t.genotype, SMALL)} for t in search.candidates}
    members = Front.load(tmp_path).members
    assert {m.trial: m.metrics for m in members} == {m.trial: priced[m.trial] for m in members}
    points = [(-m["val/accuracy"], m["params"]) for m in priced.values()]
    for member in members:
        mine = -member.metrics["val/accuracy"], member.metrics["params"]
        assert not any(a <= mine[0] and b <= mine[1] and (a, b) != mine for a, b in points)
    assert callback.record.curve[0][0] == 0
    assert len(events(tmp_path).Scalars("search/hypervolume")) == 2


def test_front_of_a_differentiable_search(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search, callback = gdas(), ParetoFront(costs=[Parameters()], picture=False)
    seen: list[tuple[Any, float]] = []

    class Look(L.Callback):
        def on_validation_end(self, trainer: L.Trainer, pl_module: Any) -> None:
            if not trainer.sanity_checking:
                seen.append((pl_module.derive(), float(trainer.callback_metrics["val/accuracy_discrete"])))

    fit(search, trainer_kwargs, callback, Look(), data=TinyData(), max_epochs=4)
    assert len(seen) == 4
    latest = dict(seen)
    front = Front.load(tmp_path)
    assert list(front.objectives) == ["val/accuracy_discrete", "params"]
    assert len(callback.record.seen) == len(latest), "a genotype that comes again counts once"
    for member in front.members:
        assert member.metrics["val/accuracy_discrete"] == latest[member.genotype]
        assert member.metrics["params"] == Parameters()(search.space, member.genotype, search.skeleton)
    assert front.network["data"]["class_path"].endswith("TinyData")


def test_differentiable_search_resumes(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    def run(folder: str, epochs: int, checkpoint: Path | None = None) -> ParetoFront:
        callback = ParetoFront(costs=[Parameters()])
        kwargs = trainer_kwargs | {"enable_checkpointing": True, "default_root_dir": tmp_path / folder}
        callbacks = [callback, ModelCheckpoint(tmp_path / folder, "last")]
        trainer = L.Trainer(**kwargs, max_epochs=epochs, callbacks=callbacks)
        trainer.fit(gdas(epochs=4), datamodule=TinyData(), ckpt_path=checkpoint)
        return callback

    whole = run("whole", 4)
    run("parts", 2)
    parts = run("parts", 4, tmp_path / "parts" / "last.ckpt")
    assert parts.record.to_dict() == whole.record.to_dict()
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_refusals(trainer_kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"ParetoFront\(filename='front.csv'\): give a name that ends in \.json"):
        ParetoFront(filename="front.csv")
    with pytest.raises(ValueError, match=r"ParetoFront\(reference=\{'a': 1.0\}\): give a value for each of val/acc"):
        ParetoFront(BOTH, reference={"a": 1.0})
    with pytest.raises(RuntimeError, match=r"ParetoFront has no front before Trainer\.fit"):
        assert ParetoFront().record
    message = r"ParetoFront has nothing to hold accuracy against: give RandomSearch a budget, or ParetoFront costs or"
    with pytest.raises(MisconfigurationException, match=message):
        fit(RandomSearch(SPACE, Two(), SMALL, trials=2), trainer_kwargs, ParetoFront())
    other = StagedSkeleton(channels=8, in_channels=1)
    message = r"ParetoFront\(skeleton=.*the search's budget counts with StagedSkeleton\(channels=4.*Give the"
    with pytest.raises(MisconfigurationException, match=message):
        fit(RandomSearch(SPACE, Two(), SMALL, trials=2, budget=Budget()), trainer_kwargs, ParetoFront(skeleton=other))
    with pytest.raises(MisconfigurationException, match="ParetoFront needs a search, but the model is a"):
        fit(BoringModel(), trainer_kwargs, ParetoFront(BOTH))
