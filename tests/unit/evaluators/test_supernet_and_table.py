"""Evaluators: a table's numbers and costs, and children that are trained as the proposal says."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from helpers.evaluators import CHILD, DATA, RECORDER, SPACE, Recorder, job, proposal
from lightning_nas import (
    CellSkeleton,
    Fidelity,
    FitEvaluator,
    StagedSkeleton,
    TableEvaluator,
)
from lightning_nas.config import instantiate
from lightning_nas.data import Digits
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import ConvChainSpace, DartsSpace, NasBench201Space
from lightning_nas.testing import BoringSkeleton
from lightning_nas.training.optimizer import Sgd
from lightning_nas.trials.trial import Evaluation, Proposal

TABLE = NasBench201Space()


# --- a table --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["table.csv", "table.csv.gz"])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two rows of NAS-Bench-201."""
    path: Path = tmp_path / request.param
    rows = [TABLE.format(TABLE.sample(generator(4, "child"))), TABLE.format(TABLE.sample(generator(5)))]
    assert rows[0] != rows[1]
    text = "arch,note,at12,at200,seconds\n" + f"{rows[0]},a,50,90.5,2.0\n{rows[1]},b,10,20,4.0\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


METRICS = {12: {"val/accuracy": "at12"}, 200: {"val/accuracy": "at200", "test/accuracy": "at12"}}


def looked_up(evaluator: TableEvaluator, fidelity: Fidelity, **more: Any) -> Evaluation:
    return evaluator.evaluate(job(Path(), proposal(fidelity, TABLE, **more), space=TABLE))


def test_numbers_and_costs_of_a_table(table: Path) -> None:
    evaluator = TableEvaluator(table, METRICS, "seconds", scale=0.01, cost_factor=0.5)
    found = looked_up(evaluator, Fidelity(epochs=12))
    assert (found.metrics, found.seconds) == ({"val/accuracy": 0.5}, 12 * 2.0 * 0.5)
    found = looked_up(evaluator, Fidelity(epochs=200))
    assert (found.metrics, found.seconds) == ({"val/accuracy": 0.905, "test/accuracy": 0.5}, 200 * 2.0 * 0.5)
    found = looked_up(evaluator, Fidelity(epochs=200), parent=3, start_epoch=12)
    assert (found.metrics["val/accuracy"], found.seconds) == (0.905, 188 * 2.0 * 0.5), "the missing epochs alone"
    assert looked_up(TableEvaluator(table, METRICS), Fidelity(epochs=12)).seconds == 0.0
    several = TableEvaluator(table, METRICS, scale={"val/accuracy": 0.01})
    assert looked_up(several, Fidelity(epochs=200)).metrics == {"val/accuracy": 0.905, "test/accuracy": 50.0}
    with pytest.raises(ValueError, match=r"scale=\{'accuracy': ...\}\): no such metric\. There are test/accuracy, "):
        TableEvaluator(table, METRICS, scale={"accuracy": 0.01})
    again = instantiate(evaluator.config())
    assert looked_up(again, Fidelity(epochs=12)) == looked_up(evaluator, Fidelity(epochs=12))


def test_what_a_table_does_not_know(table: Path) -> None:
    name = str(table)
    with pytest.raises(ValueError, match=r"TableEvaluator\(path='.*none.csv'\): no such file"):
        TableEvaluator(table.parent / "none.csv", METRICS)
    for wrong in ({"seconds_per_epoch": "time"}, {"metrics": {12: {"a": "time"}}}, {"key": "time"}):
        with pytest.raises(ValueError, match=r"no column 'time'\. There are arch, note, at12, at200, seconds") as error:
            TableEvaluator(**({"path": name, "metrics": METRICS} | wrong))
        assert name in str(error.value)
    evaluator = TableEvaluator(table, METRICS)
    message = r"knows children of 12, 200 epochs at full size, not of Fidelity\(.*\): give the sampler one of these"
    for fidelity in (Fidelity(epochs=13), Fidelity(epochs=12, share=0.5), Fidelity(epochs=200, channels=8)):
        with pytest.raises(ValueError, match=message):
            looked_up(evaluator, fidelity)
    other = Proposal(TABLE.sample(generator(6)), Fidelity(epochs=12))
    with pytest.raises(ValueError, match=rf"{table.name} has no row with arch=\|"):
        evaluator.evaluate(job(Path(), other, space=TABLE))


# --- a fit ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def recorders() -> Iterator[list[Recorder]]:
    Recorder.made.clear()
    yield Recorder.made
    Recorder.made.clear()


def test_curves_have_a_value_for_each_epoch(tmp_path: Path) -> None:
    found = FitEvaluator(DATA, Sgd(lr=0.05)).evaluate(job(tmp_path, proposal(Fidelity(epochs=3, share=0.3))))
    assert {"train/loss", "val/loss", "val/accuracy"} <= found.metrics.keys() == found.curves.keys()
    for name, values in found.curves.items():
        assert len(values) == 3
        assert values[-1] == found.metrics[name]
    assert found.curves["train/loss"][2] < found.curves["train/loss"][0], "it learns"
    assert found.seconds is None, "the time that it took counts"


def test_fidelity_is_respected(tmp_path: Path, recorders: list[Recorder]) -> None:
    evaluator, staged = FitEvaluator(DATA, callbacks=[RECORDER]), StagedSkeleton(6, in_channels=1, cells_per_stage=2)
    full = len(DATA.train_dataloader()) if DATA.setup("fit") is None else 0
    low = Fidelity(epochs=2, cells=1, channels=4, share=0.5, resolution=6)
    for fidelity in (Fidelity(epochs=1), low):
        evaluator.evaluate(job(tmp_path, proposal(fidelity, TABLE), space=TABLE, skeleton=staged))
    _, one, other = recorders  # the constructor has made the first, to refuse a bad one
    assert (one.skeleton, one.batches, one.sizes) == (staged, [full], {8})
    assert (other.skeleton.channels, other.skeleton.cells_per_stage) == (4, 1)
    assert (other.batches, other.sizes) == ([full // 2] * 2, {6})
    assert one.note == other.note == "of a child"
    assert one.module is not other.module
    cells = CellSkeleton(cells=4, channels=4, in_channels=1)
    child = proposal(Fidelity(epochs=1, cells=2, share=0.1), DartsSpace(nodes=1))
    evaluator.evaluate(job(tmp_path, child, space=DartsSpace(nodes=1), skeleton=cells))
    assert recorders[3].skeleton.cells == 2
    with pytest.raises(ValueError, match="a BoringSkeleton has no cells to count; leave them out"):
        evaluator.evaluate(job(tmp_path, proposal(Fidelity(epochs=1, cells=2))))


def test_a_child_depends_on_nothing_but_its_job(tmp_path: Path) -> None:
    evaluator, child = FitEvaluator(DATA), job(tmp_path, proposal(Fidelity(epochs=2, share=0.4)))
    first, before = evaluator.evaluate(child), torch.get_rng_state()
    evaluator.evaluate(job(tmp_path, proposal(Fidelity(epochs=1, resolution=5)), trial=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    L.seed_everything(99, verbose=False)
    assert evaluator.evaluate(child) == first
    assert FitEvaluator(Digits(batch_size=64, validation=0.2)).evaluate(child) == first
    assert L.seed_everything(99, verbose=False) == 99


def test_what_no_child_can_be_made_of() -> None:
    evaluator = FitEvaluator(DATA)
    evaluator.check(SPACE, CHILD)
    with pytest.raises(
        MisconfigurationException, match=r"No child can be built on .*: ConvChainSpace builds on a Chain"
    ):
        evaluator.check(ConvChainSpace(), CHILD)
    with pytest.raises(MisconfigurationException, match="images have 1 channels, but the skeleton has in_channels=3"):
        evaluator.check(SPACE, BoringSkeleton())
