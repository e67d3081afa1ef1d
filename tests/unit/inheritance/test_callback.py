"""A fit that starts from other networks: from files and from a store, fresh and resumed."""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from lightning_nas import DartsSearch, NetworkTraining
from lightning_nas.callbacks import ReducedFidelity, WeightInheritance
from lightning_nas.config import instantiate
from lightning_nas.data import Digits
from lightning_nas.inheritance import WeightStore, recalibrate
from lightning_nas.testing import BoringData, BoringSpace

SPACE = BoringSpace()
NAMES = tuple(decision.name for decision in SPACE.decisions)
FIRST, SECOND = ("nor_conv_3x3", "nor_conv_3x3", "skip_connect"), ("nor_conv_3x3", "skip_connect", "nor_conv_3x3")


def child(choices: tuple[str, ...] = FIRST, **sizes: Any) -> NetworkTraining:
    genotype = SPACE.genotype(dict(zip(NAMES, choices, strict=True)))
    return NetworkTraining(SPACE, genotype, SPACE.skeleton(**sizes), epochs=3)


class Start(L.Callback):
    """The network before its first step, and the batches that it is trained on."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}
        self.batches: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        network = getattr(pl_module, "network", None) or pl_module.supernet
        self.state = self.state or copy.deepcopy(network.state_dict())
        images = batch["train"][0] if isinstance(batch, dict) else batch[0]
        self.batches.append(float(images.double().sum()))


def fit(
    trainer_kwargs: dict[str, Any], model: Any, *callbacks: L.Callback, data: Any = None, **arguments: Any
) -> tuple[Start, L.Trainer]:
    start, resume = Start(), arguments.pop("ckpt_path", None)
    trainer = L.Trainer(**(trainer_kwargs | {"max_epochs": 2} | arguments), callbacks=[*callbacks, start])
    trainer.fit(model, datamodule=data or BoringData(bilevel=False, batches=3), ckpt_path=resume)
    return start, trainer


def saved(trainer_kwargs: dict[str, Any], path: Path, model: Any, data: Any = None) -> dict[str, Any]:
    _, trainer = fit(trainer_kwargs, model, data=data)
    trainer.save_checkpoint(path)
    network = getattr(model, "network", None) or model.supernet
    return dict(copy.deepcopy(network.state_dict()))


def test_from_a_checkpoint_of_a_training(
    tmp_path: Path, trainer_kwargs: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    state = saved(trainer_kwargs, tmp_path / "a.ckpt", child())
    callback = WeightInheritance([tmp_path / "a.ckpt"])
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        start, _ = fit(trainer_kwargs, child(), callback)
    assert all(torch.equal(value, state[key]) for key, value in start.state.items())
    assert callback.report is not None
    assert not callback.report.recalibrate
    text = f"WeightInheritance: inherited {len(state)} tensors from {tmp_path / 'a.ckpt'}, 0 left new"
    assert text in caplog.text
    assert "running statistics anew" not in caplog.text


def test_from_a_supernet_with_statistics_of_its_own(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    state = saved(trainer_kwargs, tmp_path / "s.ckpt", DartsSearch(SPACE, SPACE.skeleton()), BoringData(batches=3))
    L.seed_everything(4, verbose=False)
    start, _ = fit(trainer_kwargs, child(), WeightInheritance([tmp_path / "s.ckpt"]))
    for key, value in start.state.items():
        if key in state and not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(value, state[key]), key
    assert not torch.equal(start.state["stem.1.running_mean"], state["stem.1.running_mean"])
    assert int(start.state["stem.1.num_batches_tracked"]) == 3


@pytest.mark.parametrize("fidelity", [False, True])
def test_recalibration_equals_the_first_batches_of_the_fit(
    tmp_path: Path, trainer_kwargs: dict[str, Any], fidelity: bool
) -> None:
    more = [ReducedFidelity({0: 5})] if fidelity else []
    model = DartsSearch(SPACE, SPACE.skeleton(in_channels=1))
    saved(trainer_kwargs, tmp_path / "s.ckpt", model, BoringData(shape=(1, 8, 8)))
    batches: list[Any] = []

    class Take(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            batches.append(pl_module.inputs(batch).double())

    callback = WeightInheritance([tmp_path / "s.ckpt"], recalibrate=2)
    trained = child(in_channels=1)
    data = Digits(batch_size=256, flip=True, crop=1)
    start, _ = fit(trainer_kwargs, trained, *more, callback, Take(), data=data, max_epochs=1)
    network = child(in_channels=1).network
    before = {key: value for key, value in start.state.items() if "running" not in key}
    network.load_state_dict(before, strict=False)
    network.double()
    recalibrate(network, batches[:2], lambda batch: batch)
    for key, value in network.state_dict().items():
        assert torch.allclose(start.state[key].double(), value.double(), rtol=1e-4, atol=1e-5), key  # float32 fit


@pytest.mark.parametrize("data", ["house", "plain"])
def test_recalibration_leaves_the_fit_alone(tmp_path: Path, trainer_kwargs: dict[str, Any], data: str) -> None:
    model = DartsSearch(SPACE, SPACE.skeleton(in_channels=1))
    saved(trainer_kwargs, tmp_path / "s.ckpt", model, BoringData(shape=(1, 8, 8)))
    seen, random = [], []

    class Draw(L.Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
            random.append(torch.get_rng_state())

    for count in (0, 20):
        L.seed_everything(2, verbose=False)
        plain = BoringData(bilevel=False, shape=(1, 8, 8), batches=5)
        source = Digits(batch_size=256, flip=True, crop=1) if data == "house" else plain
        callback = WeightInheritance([tmp_path / "s.ckpt"], recalibrate=count)
        start, _ = fit(trainer_kwargs, child(in_channels=1), callback, Draw(), data=source)
        seen.append(start.batches)
    assert seen[0] == seen[1]
    assert torch.equal(*random)


def test_a_search_inherits_without_recalibration(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    data = BoringData(batches=3)
    state = saved(trainer_kwargs, tmp_path / "s.ckpt", DartsSearch(SPACE, SPACE.skeleton()), data)
    callback = WeightInheritance([tmp_path / "s.ckpt"])
    start, _ = fit(trainer_kwargs, DartsSearch(SPACE, SPACE.skeleton()), callback, data=data)
    assert all(torch.equal(value, state[key]) for key, value in start.state.items())
    assert callback.report is not None
    assert not callback.report.recalibrate


@pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that")
def test_no_inheritance_on_resume(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    saved(trainer_kwargs, tmp_path / "source.ckpt", child())
    state = saved(trainer_kwargs, tmp_path / "own.ckpt", child())
    callback = WeightInheritance([tmp_path / "source.ckpt"])
    start, trainer = fit(trainer_kwargs, child(), callback, ckpt_path=tmp_path / "own.ckpt", max_epochs=3)
    assert callback.report is None
    assert all(torch.equal(value, state[key]) for key, value in start.state.items())
    again = child()
    fit(trainer_kwargs, again, callback)
    assert callback.report is not None, "a later fit is a fresh one"


def test_going_on_with_the_same_trainer_is_no_fresh_fit(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    saved(trainer_kwargs, tmp_path / "source.ckpt", child())
    callback, model = WeightInheritance([tmp_path / "source.ckpt"]), child()
    _, trainer = fit(trainer_kwargs, model, callback, max_epochs=1)
    before = copy.deepcopy(model.network.state_dict())
    trainer.fit_loop.max_epochs = 1
    trainer.fit(model, BoringData(bilevel=False, batches=3))
    assert all(torch.equal(value, before[key]) for key, value in model.network.state_dict().items())


# --- with a store ---------------------------------------------------------------------------------------------------


def test_children_go_through_the_store(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    store = WeightStore(tmp_path / "store")
    first, second = child(FIRST), child(SECOND)
    alone = WeightInheritance(store=store, trial=0)
    fit(trainer_kwargs, first, alone)
    assert str(alone.report).startswith("inherited nothing")
    fit(trainer_kwargs, second, WeightInheritance(store=store, trial=1, others=False))
    assert store.trials(before=9) == [1, 0]
    stored = store.load(0)
    assert stored is not None
    assert all(torch.equal(value, stored[key]) for key, value in first.network.state_dict().items())

    callback = WeightInheritance(store=store, trial=2, parent=0)
    start, _ = fit(trainer_kwargs, child(SECOND), callback)
    assert callback.report is not None
    assert list(callback.report.copied) == ["trial 0", "trial 1"]
    own = second.network.state_dict()
    for key, value in start.state.items():
        if not key.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(value, own[key] if ".2_1.nor" in key else stored[key]), key
    assert callback.continues
    assert [store.path(trial).stat().st_mtime for trial in (0, 1, 2)] == [2, 2, 2]


def test_only_what_gives_something_is_used(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    store = WeightStore(tmp_path)
    for trial in range(4):
        store.save(trial, child().network.state_dict())
    for number, (arguments, used) in enumerate(
        [
            ({"parent": 1}, [1]),
            ({}, [3]),
            ({"before": 2}, [1]),
            ({"parent": 0, "others": False}, [0]),
            ({"limit": 0}, []),
        ]
    ):
        callback = WeightInheritance(store=store, trial=10 + number, save=False, **({"before": 4} | arguments))
        fit(trainer_kwargs, child(), callback, max_epochs=1)
        assert callback.report is not None
        assert list(callback.report.copied) == [f"trial {trial}" for trial in used]
        assert [trial for trial in range(4) if store.path(trial).stat().st_mtime == 10 + number] == used
    assert store.trials(before=99) == [3, 2, 1, 0], "save=False"


def test_a_parent_that_is_gone(
    tmp_path: Path, trainer_kwargs: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    callback = WeightInheritance(store=WeightStore(tmp_path), trial=3, parent=1)
    assert not callback.continues
    with caplog.at_level(logging.INFO, logger="lightning.pytorch.utilities.rank_zero"):
        fit(trainer_kwargs, child(), callback, max_epochs=1)
    assert "the weights of trial 1 are no longer stored" in caplog.text
    assert callback.report is not None
    assert not callback.report.copied


def test_a_file_of_the_store_is_a_source(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    store = WeightStore(tmp_path)
    state = copy.deepcopy(child().network.state_dict())
    store.save(0, state)
    start, _ = fit(trainer_kwargs, child(), WeightInheritance([store.path(0)]))
    assert all(torch.equal(value, state[key]) for key, value in start.state.items())


def test_a_resumed_child_is_saved(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    store = WeightStore(tmp_path / "store")
    save = ModelCheckpoint(tmp_path, "own", every_n_epochs=1)
    fit(trainer_kwargs, child(), save, WeightInheritance(store=store, trial=0), enable_checkpointing=True, max_epochs=1)
    callback = WeightInheritance(store=store, trial=0)
    model = child()
    arguments = {"ckpt_path": tmp_path / "own.ckpt", "max_epochs": 2, "enable_checkpointing": True}
    fit(trainer_kwargs, model, ModelCheckpoint(tmp_path, "own"), callback, **arguments)
    stored = store.load(0)
    assert stored is not None
    assert all(torch.equal(value, stored[key]) for key, value in model.network.state_dict().items())


# --- refusals -------------------------------------------------------------------------------------------------------


def test_recorded_as_plain_data_and_copied(tmp_path: Path) -> None:
    callback = WeightInheritance(["a.ckpt"], store=WeightStore(tmp_path, 10), trial=4, parent=2)
    for again in (instantiate(callback.config()), copy.deepcopy(callback)):
        assert again.config() == callback.config()
        assert (again.before, again.store.folder) == (4, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"WeightInheritance\(\) has nothing to inherit from: give sources, or a store and a trial"),
        ({"sources": "a.ckpt"}, r"sources='a.ckpt'\): give a list of files"),
        ({"sources": ["a"], "recalibrate": -1}, r"recalibrate=-1\): give a number of 0 or more"),
        ({"sources": ["a"], "limit": -1}, r"limit=-1\): give a number of 0 or more"),
        ({"sources": ["a"], "trial": 2}, r"trial=2\) counts in a store: give store=WeightStore"),
        ({"sources": ["a"], "parent": 2}, r"parent=2\) counts in a store: give store=WeightStore"),
        ({"store": WeightStore("x")}, r"store=..., trial=None\): give the child's number"),
        ({"store": WeightStore("x"), "trial": -2}, r"trial=-2\): give a number of 0 or more"),
        ({"store": WeightStore("x"), "trial": 2, "before": 3}, r"before=3\) must be at most trial=2"),
        ({"store": WeightStore("x"), "trial": 2, "parent": 2}, r"parent=2\) must be a trial below before=2"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        WeightInheritance(**arguments)


def test_files_that_are_none(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"sources=\['missing.ckpt'\]\): no such file. Give checkpoints"):
        fit(trainer_kwargs, child(), WeightInheritance(["missing.ckpt"]))
    torch.save({"state_dict": {"other.weight": torch.zeros(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="holds no network: give a checkpoint of a NetworkTraining or of a search"):
        fit(trainer_kwargs, child(), WeightInheritance([tmp_path / "other.ckpt"]))
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(MisconfigurationException, match="they hold nothing for this network"):
        fit(trainer_kwargs, child(), WeightInheritance([tmp_path / "other.pt"]))


def test_modules_and_data_that_do_not_fit(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    class Plain(L.LightningModule):
        def training_step(self, batch: Any, batch_idx: int) -> None: ...

        def validation_step(self, batch: Any, batch_idx: int) -> None: ...

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)

    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(MisconfigurationException, match="Plain has neither a `network` nor a `supernet`"):
        fit(trainer_kwargs, Plain(), WeightInheritance([tmp_path / "other.pt"]))

    class Lists(BoringData):
        def train_dataloader(self) -> Any:
            return list(super().train_dataloader())

    WeightStore(tmp_path).save(0, child(channels=5).network.state_dict())
    callback = WeightInheritance(store=WeightStore(tmp_path), trial=1)
    with pytest.raises(
        MisconfigurationException, match=r"recalibrate=20\): the training data is a list .* recalibrate=0"
    ):
        fit(trainer_kwargs, child(), callback, data=Lists(bilevel=False))
