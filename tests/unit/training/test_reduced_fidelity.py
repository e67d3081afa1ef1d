"""Reduced fidelity: images and batches by epoch, exact resume, and refusals."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from helpers.small_fits import events
from lightning_nas import CellSkeleton, DartsSearch, NetworkTraining
from lightning_nas.callbacks import ReducedFidelity
from lightning_nas.config import instantiate
from lightning_nas.data import Bilevel, Digits
from lightning_nas.functional.augment import shrink
from lightning_nas.spaces import DartsSpace
from lightning_nas.testing import BoringData, BoringSpace

SPACE = BoringSpace()


def child(channels: int = 3, **arguments: Any) -> NetworkTraining:
    names = (decision.name for decision in SPACE.decisions)
    genotype = SPACE.genotype(dict(zip(names, ("nor_conv_3x3", "skip_connect", "avg_pool_3x3"), strict=True)))
    return NetworkTraining(SPACE, genotype, SPACE.skeleton(in_channels=channels), **arguments)


class Recorder(L.Callback):
    """Sizes that the network sees, by mode, and batches that each epoch trains on."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[int, str], set[int]] = {}
        self.batches: dict[int, list[int]] = {}

    def on_fit_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        network = getattr(pl_module, "network", None) or pl_module.supernet

        def see(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            stage = "train" if trainer.training else "val" if trainer.validating else "sanity"
            self.sizes.setdefault((trainer.current_epoch, stage), set()).add(inputs[0].shape[-1])

        self.hook = network.register_forward_pre_hook(see)

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.batches.setdefault(trainer.current_epoch, []).append(batch_idx)

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        self.hook.remove()


def fit(
    trainer_kwargs: dict[str, Any], callback: ReducedFidelity, model: Any, data: Any, **arguments: Any
) -> tuple[Recorder, L.Trainer]:
    recorder, more = Recorder(), arguments.pop("callbacks", [])
    resume = arguments.pop("ckpt_path", None)
    trainer = L.Trainer(**(trainer_kwargs | {"max_epochs": 4} | arguments), callbacks=[callback, recorder, *more])
    trainer.fit(model, datamodule=data, ckpt_path=resume)
    return recorder, trainer


def test_values_hold_from_their_epoch_on() -> None:
    callback = ReducedFidelity({2: 8, 5: 16}, {1: 0.5})
    assert [callback.resolution_at(epoch) for epoch in (0, 1, 2, 4, 5, 9)] == [None, None, 8, 8, 16, 16]
    assert [callback.share_at(epoch) for epoch in (0, 1, 9)] == [1.0, 0.5, 0.5]


def test_recorded_as_plain_data_and_copied() -> None:
    config = ReducedFidelity({0: 4}, {3: 1.0, 0: 0.5}).config()
    assert config["init_args"] == {"resolution": {"0": 4}, "share": {"3": 1.0, "0": 0.5}}
    for again in (instantiate(config), copy.deepcopy(instantiate(config))):
        assert (again.resolution, again.share) == ({0: 4}, {0: 0.5, 3: 1.0})
        assert again.config() == config


@pytest.mark.parametrize("kind", ["training", "search"])
def test_the_network_sees_small_images_and_runs_few_batches(kind: str, trainer_kwargs: dict[str, Any]) -> None:
    callback = ReducedFidelity({0: 4, 2: 6, 3: 8}, {1: 0.1, 2: 0.5, 3: 1.0})
    search = kind == "search"
    model = DartsSearch(SPACE, SPACE.skeleton()) if search else child()
    recorder, trainer = fit(trainer_kwargs, callback, model, BoringData(batches=5, bilevel=search))
    assert {epoch: len(batches) for epoch, batches in recorder.batches.items()} == {0: 5, 1: 1, 2: 2, 3: 5}
    stages = [(epoch, stage, size) for epoch, size in enumerate((4, 4, 6, 8)) for stage in ("train", "val")]
    assert recorder.sizes == {(0, "sanity"): {4}} | {(epoch, stage): {size} for epoch, stage, size in stages}
    assert model.resolution is None
    assert trainer.limit_train_batches == 1.0
    assert trainer.reload_dataloaders_every_n_epochs == 0


def test_test_and_prediction_see_whole_images(trainer_kwargs: dict[str, Any]) -> None:
    model, data = child(), BoringData(bilevel=False)
    _, trainer = fit(trainer_kwargs, ReducedFidelity({0: 4}), model, data, max_epochs=1)
    seen: list[int] = []
    model.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    trainer.test(model, data, verbose=False)
    trainer.predict(model, DataLoader(TensorDataset(torch.zeros(2, 3, 8, 8)), batch_size=2))
    assert set(seen) == {8}


def test_bilevel_digits(trainer_kwargs: dict[str, Any]) -> None:
    model = DartsSearch(DartsSpace(1), CellSkeleton(cells=2, channels=2, in_channels=1))
    data = Bilevel(Digits(batch_size=64), fraction=0.6)
    recorder, _ = fit(trainer_kwargs, ReducedFidelity({0: 5}, {0: 0.25, 1: 1.0}), model, data, max_epochs=2)
    full = len(recorder.batches[1])
    assert full == math.ceil(len(data._halves["train"]) / 64)
    assert len(recorder.batches[0]) == full // 4
    assert recorder.sizes[0, "train"] == recorder.sizes[1, "train"] == {5}


def test_each_epoch_sees_other_batches(trainer_kwargs: dict[str, Any]) -> None:
    seen: dict[int, list[float]] = {}

    class Look(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            seen.setdefault(trainer.current_epoch, []).extend(batch[0].mean((1, 2, 3)).tolist())

    data = BoringData(bilevel=False, batches=8)
    fit(trainer_kwargs, ReducedFidelity(share={0: 0.25}), child(), data, callbacks=[Look()], max_epochs=2)
    assert len(seen[0]) == len(seen[1]) == 2 * 4
    assert set(seen[0]) != set(seen[1])


def test_without_a_schedule_nothing_changes(trainer_kwargs: dict[str, Any]) -> None:
    states = []
    for callback in (ReducedFidelity(share={9: 0.5}), ReducedFidelity(resolution={9: 4})):
        torch.manual_seed(0)
        model = child()
        fit(trainer_kwargs, callback, model, BoringData(bilevel=False), max_epochs=2)
        states.append(model.state_dict())
    torch.manual_seed(0)
    model = child()
    L.Trainer(**trainer_kwargs, max_epochs=2).fit(model, BoringData(bilevel=False))
    for state in states:
        assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


# --- resume ---------------------------------------------------------------------------------------------------------

SCHEDULES: dict[str, tuple[dict[int, int], dict[int, float]]] = {
    "share grows": ({0: 4, 1: 5, 2: 8}, {0: 0.5, 2: 1.0}),
    "share shrinks": ({1: 4}, {1: 0.5, 3: 0.25}),
}
RESUMED = pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("training", "share shrinks"),
        ("search", "share grows"),
        pytest.param("training", "share grows", marks=pytest.mark.long),
        pytest.param("search", "share shrinks", marks=pytest.mark.long),
    ],
)


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual", "ignore:You're resuming from a checkpoint that")
@RESUMED
def test_resume_at_an_epochs_end_is_exact(tmp_path: Path, trainer_kwargs: dict[str, Any], name: str, kind: str) -> None:
    def run(folder: str, epochs: int, resume: Path | None = None) -> tuple[Recorder, dict[str, Any]]:
        L.seed_everything(1, verbose=False)
        model: Any = child(1, epochs=4)
        data: Any = Digits(batch_size=256, flip=True, crop=1)
        if kind == "search":
            model, data = DartsSearch(SPACE, SPACE.skeleton(in_channels=1), epochs=4), Bilevel(data)
        save = ModelCheckpoint(tmp_path / folder, "{epoch}", save_top_k=-1, save_last=True)
        arguments = {"enable_checkpointing": True, "max_epochs": epochs, "callbacks": [save], "ckpt_path": resume}
        recorder, _ = fit(trainer_kwargs, ReducedFidelity(*SCHEDULES[name]), model, data, **arguments)
        return recorder, torch.load(tmp_path / folder / "last.ckpt", weights_only=True)

    whole, expected = run("whole", 4)
    for stop in (1, 2, 3):
        run(f"stopped {stop}", stop)
        resumed, found = run(f"stopped {stop}", 4, tmp_path / f"stopped {stop}" / "last.ckpt")
        assert resumed.batches == {epoch: seen for epoch, seen in whole.batches.items() if epoch >= stop}
        sizes = {at: size for at, size in resumed.sizes.items() if at[1] != "sanity"}
        assert sizes == {at: size for at, size in whole.sizes.items() if at[0] >= stop and at[1] != "sanity"}
        assert found["global_step"] == expected["global_step"]
        for key, value in expected["state_dict"].items():
            assert torch.equal(found["state_dict"][key], value), key


class Alike(BoringData):
    """The same batch again and again: Lightning starts a plain loader again where a fit resumes in an epoch."""

    def _loader(self, part: int, shuffle: bool = False) -> DataLoader[Any]:
        images, labels = next(iter(DataLoader(super()._loader(part).dataset, self.batch_size)))
        count = self.batches
        return DataLoader(TensorDataset(images.repeat(count, 1, 1, 1), labels.repeat(count)), self.batch_size)


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual", "ignore:You're resuming from a checkpoint that")
@RESUMED
def test_resume_inside_an_epoch_is_exact(tmp_path: Path, trainer_kwargs: dict[str, Any], name: str, kind: str) -> None:
    def run(folder: str, resume: Path | None = None) -> tuple[Recorder, dict[str, Any]]:
        L.seed_everything(1, verbose=False)
        search = kind == "search"
        model = DartsSearch(SPACE, SPACE.skeleton(), epochs=4) if search else child(epochs=4)
        save = ModelCheckpoint(tmp_path / folder, "{step}", every_n_train_steps=1, save_top_k=-1)
        callback, data = ReducedFidelity(*SCHEDULES[name]), Alike(batches=4, bilevel=search)
        arguments = {"enable_checkpointing": True, "callbacks": [save], "ckpt_path": resume}
        return fit(trainer_kwargs, callback, model, data, **arguments)[0], model.state_dict()

    whole, expected = run("whole")
    steps = [(epoch, batch) for epoch, seen in whole.batches.items() for batch in seen]
    for step in range(1, len(steps)):
        resumed, found = run("whole", tmp_path / "whole" / f"step={step}.ckpt")
        assert [(epoch, batch) for epoch, seen in resumed.batches.items() for batch in seen] == steps[step:], step
        trained = {at: size for at, size in resumed.sizes.items() if at[1] == "train"}
        assert trained == {at: size for at, size in whole.sizes.items() if at in trained}
        ends = [index + 1 for index, at in enumerate(steps) if index + 1 == len(steps) or steps[index + 1][1] == 0]
        if step not in ends:  # Lightning itself leaves out what happens between a last batch and the end of its epoch
            for key, value in expected.items():
                if not key.startswith(("val_", "discrete_")):
                    assert torch.equal(found[key], value), (step, key)


# --- logs and refusals ----------------------------------------------------------------------------------------------


def test_logged(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    arguments = {"logger": TensorBoardLogger(tmp_path, "log", 0), "max_epochs": 3}
    callback = ReducedFidelity({1: 4, 2: 6}, {0: 0.5, 2: 1.0})
    fit(trainer_kwargs, callback, child(), BoringData(bilevel=False), **arguments)
    found = events(tmp_path / "log" / "version_0")
    assert [event.value for event in found.Scalars("train/resolution")] == [4.0, 6.0]
    assert [event.value for event in found.Scalars("train/share")] == [0.5, 0.5, 1.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"ReducedFidelity\(resolution=None, share=None\) reduces nothing: give one"),
        ({"resolution": {-1: 8}}, r"resolution=\{-1: 8\}\): give epochs as integers of at least 0"),
        ({"share": {"one": 0.5}}, r"share=\{'one': 0.5\}\): give epochs as integers of at least 0"),
        ({"share": {1.5: 0.5}}, r"share=\{1.5: 0.5\}\): give epochs as integers of at least 0"),
        ({"resolution": {0: 0}}, r"resolution=\{0: 0\}\): give an integer of at least 1"),
        ({"resolution": {0: 8.0}}, r"resolution=\{0: 8.0\}\): give an integer of at least 1"),
        ({"share": {0: 0.0}}, r"share=\{0: 0.0\}\): give a number in \(0, 1\]"),
        ({"share": {0: 1.5}}, r"share=\{0: 1.5\}\): give a number in \(0, 1\]"),
        ({"share": {0: float("nan")}}, r"share=\{0: nan\}\): give a number in \(0, 1\]"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReducedFidelity(**arguments)


def test_conflicts(trainer_kwargs: dict[str, Any]) -> None:
    data = BoringData(bilevel=False)
    for limit in (0.5, 1, 3):
        with pytest.raises(MisconfigurationException, match=rf"limit_train_batches={limit}\) and ReducedFidelity"):
            fit(trainer_kwargs, ReducedFidelity(share={0: 0.5}), child(), data, limit_train_batches=limit)
    with pytest.raises(MisconfigurationException, match=r"2 pixels are too few .* needs at least 3: give 3 or more"):
        fit(trainer_kwargs, ReducedFidelity({0: 8, 1: 2}), child(), data)
    with pytest.raises(MisconfigurationException, match=r"images have 8x8 pixels, .* never enlarged: give at most 8"):
        fit(trainer_kwargs, ReducedFidelity({0: 9}), child(), data)
    data.shape = None  # a data module that does not say: the first batch does
    data._loader = BoringData(bilevel=False)._loader
    model = child()
    with pytest.raises(MisconfigurationException, match=r"resolution=9\): size=9 is more than the 8x8 pixels"):
        fit(trainer_kwargs, ReducedFidelity({0: 9}), model, data)
    assert model.resolution is None


def test_other_modules_are_refused(trainer_kwargs: dict[str, Any]) -> None:
    class Plain(L.LightningModule):
        def training_step(self, batch: Any, batch_idx: int) -> None: ...

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)

    trainer = L.Trainer(**trainer_kwargs, callbacks=[ReducedFidelity({0: 4})], max_epochs=1)
    with pytest.raises(MisconfigurationException, match=r"Plain has no `inputs` that shrinks images\. Give"):
        trainer.fit(Plain(), DataLoader(torch.zeros(2, 1)))


def test_settings_are_restored_behind_an_exception(trainer_kwargs: dict[str, Any]) -> None:
    class Stop(L.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            raise RuntimeError("stop")

    callback, model = ReducedFidelity({0: 4}, {0: 0.5}), child()
    trainer = L.Trainer(**trainer_kwargs, callbacks=[callback, Stop()], max_epochs=1)
    with pytest.raises(RuntimeError, match="stop"):
        trainer.fit(model, BoringData(bilevel=False))
    assert model.resolution is None
    assert trainer.limit_train_batches == 1.0
    assert trainer.reload_dataloaders_every_n_epochs == 0


def test_shrink() -> None:
    images = torch.rand(2, 3, 8, 12, dtype=torch.float64)
    assert shrink(images, 8) is images
    small = shrink(images, 4)
    assert small.shape == (2, 3, 4, 6)
    assert small.dtype == torch.float64
    flat = shrink(torch.full((1, 1, 9, 9), 2.0, dtype=torch.bfloat16), 4)
    assert flat.dtype == torch.bfloat16
    assert flat.eq(2.0).all()
    with pytest.raises(ValueError, match="size=9 is more than the 8x12 pixels of the images: give at most 8"):
        shrink(images, 9)
    with pytest.raises(ValueError, match="are no images"):
        shrink(torch.rand(2, 3), 1)
