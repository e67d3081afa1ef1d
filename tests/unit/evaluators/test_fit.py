"""Children that are trained: weights that are inherited, callbacks, interruptions, and arguments that are refused."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from helpers.evaluators import DATA, RECORDER, Recorder, job, proposal
from lightning_nas import Fidelity, FitEvaluator
from lightning_nas.callbacks import DropPathSchedule
from lightning_nas.config import instantiate
from lightning_nas.inheritance import WeightStore

SHORT, LONG = Fidelity(epochs=1, share=0.2), Fidelity(epochs=3, share=0.2)


def storing(**more: Any) -> FitEvaluator:
    return FitEvaluator(DATA, store=WeightStore("weights", 50), **more)


class Begin(L.Callback):
    """The weights before the first step."""

    states: list[dict[str, torch.Tensor]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.states.append({name: value.clone() for name, value in pl_module.network.state_dict().items()})


BEGIN = {"class_path": f"{__name__}.Begin"}


@pytest.fixture(autouse=True)
def recorders() -> Iterator[list[Recorder]]:
    Recorder.made.clear()
    yield Recorder.made
    Recorder.made.clear()


@pytest.fixture(autouse=True)
def begins() -> Iterator[list[dict[str, torch.Tensor]]]:
    Begin.states.clear()
    yield Begin.states
    Begin.states.clear()


def equal_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    names = [name for name, value in one.items() if value.is_floating_point()]
    return all(torch.equal(one[name], other[name]) for name in names)


# --- weights --------------------------------------------------------------------------------------------------------


def test_a_child_goes_on_from_its_parent(tmp_path: Path, begins: list[dict[str, torch.Tensor]]) -> None:
    evaluator = storing(callbacks=[BEGIN])
    first = evaluator.evaluate(job(tmp_path, proposal(SHORT)))
    store = WeightStore(tmp_path / "weights")
    assert store.trials(9) == [0]
    on = job(tmp_path, proposal(LONG, parent=0, start_epoch=1), trial=1)
    found = evaluator.evaluate(on)
    parent = store.load(0)
    assert parent is not None
    assert equal_weights(begins[1], parent)
    assert not equal_weights(begins[0], parent)
    assert [len(evaluation.curves["val/loss"]) for evaluation in (first, found)] == [1, 2], "the missing epochs"
    assert store.trials(9) == [1, 0]
    assert evaluator.evaluate(on) == found, "a killed child's second attempt"


def test_without_the_parents_weights_it_starts_from_the_start(
    tmp_path: Path, begins: list[dict[str, torch.Tensor]]
) -> None:
    evaluator = storing(callbacks=[BEGIN])
    evaluator.evaluate(job(tmp_path, proposal(SHORT)))
    (tmp_path / "weights" / "000000.pt").unlink()
    found = evaluator.evaluate(job(tmp_path, proposal(LONG, parent=0, start_epoch=1), trial=1))
    alone = FitEvaluator(DATA).evaluate(job(tmp_path, proposal(LONG, parent=0, start_epoch=1), trial=1))
    assert found == alone
    assert len(found.curves["val/loss"]) == 3
    assert equal_weights(begins[0], begins[1])


@pytest.mark.parametrize("inherit", ["own", "parent", "all"])
def test_whose_weights_are_inherited(inherit: Any, tmp_path: Path, begins: list[dict[str, torch.Tensor]]) -> None:
    evaluator = storing(callbacks=[BEGIN], inherit=inherit)
    fresh = FitEvaluator(DATA, callbacks=[BEGIN])
    for trial in (0, 1):  # of the same genotype, so that all weights could come from either
        fresh.store = WeightStore("weights", 50)
        fresh.evaluate(job(tmp_path, proposal(SHORT), trial=trial))
    store, random = WeightStore(tmp_path / "weights"), begins[0]
    store.save(1, {name: 2 * value for name, value in (store.load(1) or {}).items()})
    evaluator.evaluate(job(tmp_path, proposal(SHORT, parent=0), trial=2))
    evaluator.evaluate(job(tmp_path, proposal(SHORT), trial=3, first=2))
    saved = [store.load(trial) or {} for trial in (0, 1)]
    conv = [name for name in random if name.endswith("weight") and random[name].dim() == 4]
    assert conv
    expected = {"own": (random, random), "parent": (saved[0], random), "all": (saved[0], saved[1])}[inherit]
    for found, source in zip(begins[2:], expected, strict=True):
        assert all(torch.equal(found[name], source[name]) for name in conv), inherit
    assert store.trials(9) == [3, 2, 1, 0]


def test_room_is_made_before_a_round(tmp_path: Path) -> None:
    evaluator = storing()
    for trial in range(3):
        evaluator.evaluate(job(tmp_path, proposal(SHORT), trial=trial))
    store = WeightStore(tmp_path / "weights")
    evaluator.store = WeightStore("weights", 3.5 * store.path(0).stat().st_size / 1e6)
    evaluator.start_round(3, 2, tmp_path)
    assert store.trials(9) == [2]
    FitEvaluator(DATA).start_round(3, 2, tmp_path)


# --- callbacks ------------------------------------------------------------------------------------------------------


def test_callbacks_are_made_anew(tmp_path: Path, recorders: list[Recorder]) -> None:
    stop = {"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss", "patience": 1, "min_delta": 100.0}}
    evaluator = FitEvaluator(DATA, callbacks=[RECORDER, stop, DropPathSchedule(0.1)])
    recorders.clear()
    child = job(tmp_path, proposal(Fidelity(epochs=4, share=0.1)))
    first, second = evaluator.evaluate(child), evaluator.evaluate(child)
    assert first == second, "patience begins anew"
    assert len(first.curves["val/loss"]) == 2
    assert [len(recorder.batches) for recorder in recorders] == [2, 2]
    config = evaluator.config()
    assert instantiate(config).config() == config


@pytest.mark.parametrize(
    "managed",
    ["max_epochs", "max_steps", "fast_dev_run", "accelerator", "devices", "callbacks", "precision", "strategy"],
)
def test_managed_arguments_are_refused(managed: str) -> None:
    message = rf"FitEvaluator\(trainer={{'{managed}': ...}}\): {managed} is the evaluator's own\. Epochs and share of"
    with pytest.raises(ValueError, match=message):
        FitEvaluator(DATA, trainer={managed: 1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"callbacks": [EarlyStopping("val/loss")]}, r"EarlyStopping object .* cannot be made anew for each child\. G"),
        ({"callbacks": [DATA]}, r"cannot be made anew for each child\. Give plain data, such as"),
        ({"inherit": "some"}, r"FitEvaluator\(inherit='some'\): give one of own, parent, all"),
        ({"inherit": "all"}, r"FitEvaluator\(inherit='all'\) needs weights to inherit: give a WeightStore as `store`"),
        ({"clip": 0.0}, r"FitEvaluator\(clip=0.0\): give a positive number, or None to turn clipping off"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitEvaluator(DATA, **arguments)


def test_other_arguments_reach_the_trainer(tmp_path: Path, recorders: list[Recorder]) -> None:
    evaluator = FitEvaluator(DATA, callbacks=[RECORDER], trainer={"limit_val_batches": 1, "accumulate_grad_batches": 3})
    recorders.clear()
    evaluator.evaluate(job(tmp_path, proposal(SHORT)))
    (recorder,) = recorders
    assert recorder.module.trainer.limit_val_batches == 1
    assert recorder.module.trainer.accumulate_grad_batches == 3


class Interrupted(L.Callback):
    """Stops a child."""

    error: type[BaseException] = KeyboardInterrupt

    def on_train_batch_start(self, *_: Any) -> None:
        raise self.error


def test_ctrl_c_in_a_child(tmp_path: Path) -> None:
    found = signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background may ignore it
    try:
        before = signal.getsignal(signal.SIGINT)
        evaluator = FitEvaluator(DATA, callbacks=[{"class_path": f"{__name__}.Interrupted"}])
        with pytest.raises(KeyboardInterrupt):
            evaluator.evaluate(job(tmp_path, proposal(SHORT)))
        assert signal.getsignal(signal.SIGINT) is before is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, found)
