"""Searches that share weights: who learns when, what is refused, and what is derived."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_nas import (
    Adam,
    Derivation,
    EnasSearch,
    Genotype,
    LogitsController,
    NetworkTraining,
    RandomSharingSearch,
    RegularizedEvolution,
    Sgd,
    SinglePathSearch,
    UniformSampler,
    WeightSharingSearch,
)
from lightning_nas.callbacks import ExtractGenotype, StackCells, WeightInheritance
from lightning_nas.data import Bilevel, Digits, Phased
from lightning_nas.spaces import ChainSkeleton, ConvChainSpace
from lightning_nas.testing import BoringSkeleton, BoringSpace

SKELETON = BoringSkeleton(in_channels=1)
SPACE = BoringSpace()


def data(sampler_steps: int = 5, weight_steps: int = 3) -> Phased:
    digits = Digits(batch_size=64, validation=0.1)
    return Phased(digits, 0.5, sampler_steps=sampler_steps, weight_steps=weight_steps)


def controlled(**settings: Any) -> WeightSharingSearch:
    L.seed_everything(1, verbose=False)
    controller = LogitsController(SPACE, optimizer=Adam(0.1, (0.0, 0.999), 0.0))
    return WeightSharingSearch(controller, SKELETON, Derivation(4, round_size=2), round_size=2, **settings)


class Watch(L.Callback):
    """Which part has moved in each batch, and whether the supernet was training."""

    def __init__(self) -> None:
        self.moved: list[tuple[str, bool, bool, bool]] = []

    def _parts(self, search: Any) -> list[torch.Tensor]:
        found = []
        for module in (search.supernet, search.sampler):
            found.append(torch.cat([value.detach().flatten().float() for value in module.state_dict().values()]))
        return found

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.before = self._parts(pl_module)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        after = self._parts(pl_module)
        weights, sampler = (not torch.equal(a, b) for a, b in zip(self.before, after, strict=True))
        self.moved.append((next(iter(batch)), weights, sampler, pl_module.supernet.training))


def test_each_phase_moves_its_own_part(trainer_kwargs: dict[str, Any]) -> None:
    watch = Watch()
    trainer = L.Trainer(max_epochs=2, callbacks=[watch], **trainer_kwargs)
    trainer.fit(controlled(), datamodule=data())
    epoch = [("train", True, False, True)] * 3
    rounds = [False, True, False, True, True]  # two, two and what is left
    epoch += [("val", False, learns, False) for learns in rounds]
    assert watch.moved == epoch * 2
    assert trainer.global_step == 16


def test_the_controller_learns_what_is_better(trainer_kwargs: dict[str, Any]) -> None:
    """With a reward that counts convolutions the policy goes there, whatever the weights are."""

    class Convolutions(WeightSharingSearch):
        def _learn(self, optimizer: torch.optim.Optimizer) -> None:
            counted = [
                torch.tensor(float(sum(o == "nor_conv_3x3" for _, o in genotype))) for genotype, _ in self._round
            ]
            self._round = [(genotype, score) for (genotype, _), score in zip(self._round, counted, strict=True)]
            super()._learn(optimizer)

    L.seed_everything(0, verbose=False)
    controller = LogitsController(SPACE, optimizer=Adam(0.2, (0.9, 0.999), 0.0))
    search = Convolutions(controller, SKELETON, Derivation(10), round_size=5)
    trainer = L.Trainer(max_epochs=2, **trainer_kwargs)
    trainer.fit(search, datamodule=data(sampler_steps=100, weight_steps=1))
    drawn = [proposal.genotype for proposal in search.sample("test", 0, 50)]
    share = sum(option == "nor_conv_3x3" for genotype in drawn for _, option in genotype) / 150
    assert share > 0.9
    assert float(trainer.callback_metrics["search/reward"]) > 2.5


def test_derivation_is_written_and_shown(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    search = controlled()
    extract, stack = ExtractGenotype(), StackCells(BoringSkeleton(channels=8, in_channels=1), epochs=1)
    logger = TensorBoardLogger(tmp_path, name="run", version="")
    settings = {**trainer_kwargs, "logger": logger, "log_every_n_steps": 1}
    trainer = L.Trainer(max_epochs=2, callbacks=[extract, stack], **settings)
    trainer.fit(search, datamodule=data())
    folder = tmp_path / "run"
    assert [path.name for path in sorted((folder / "candidates").iterdir())] == ["epoch_0000.csv", "epoch_0001.csv"]
    rows = list(csv.DictReader((folder / "candidates/epoch_0001.csv").read_text().splitlines()))
    scores = [float(row["val/accuracy"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert len(scores) == len(search.candidates) == 4
    assert Genotype.load(folder / "genotype.yaml") == search.derive() == search.candidates[0].genotype
    assert (folder / "retrain.yaml").is_file()
    events = EventAccumulator(str(folder))
    events.Reload()
    assert {"search/reward", "search/baseline", "search/entropy", "train/loss"} <= set(events.Tags()["scalars"])
    assert "search/candidates/text_summary" in events.Tags()["tensors"]


@pytest.mark.parametrize("statistics", ["batch", "recalibrated"])
def test_derivation_leaves_the_training_as_it_is(statistics: Any, trainer_kwargs: dict[str, Any]) -> None:
    states = []
    for every in (1, 0):
        search = controlled()
        search.derivation = Derivation(4, 1, every, statistics, 2, round_size=2)
        L.Trainer(max_epochs=2, **trainer_kwargs).fit(search, datamodule=data())
        states.append({name: value.clone() for name, value in search.state_dict().items()})
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_evolution_finds_better_paths_than_it_began_with(trainer_kwargs: dict[str, Any]) -> None:
    L.seed_everything(0, verbose=False)
    search = SinglePathSearch(SPACE, SKELETON, 5, 3, 40, 2, 3, optimizer=Sgd(0.1))
    L.Trainer(max_epochs=3, **trainer_kwargs).fit(search, datamodule=data(0, 20))
    ordered = sorted(search.candidates, key=lambda trial: trial.id)
    assert any(trial.proposal.parent is not None for trial in ordered)
    first, last = (sum(t.metrics["val/accuracy"] for t in some) / 10 for some in (ordered[:10], ordered[-10:]))
    assert last > first
    assert search.derivation.sampler is not None
    assert search.derivation.sampler.told == 0, "each derivation begins anew"


def test_a_final_training_can_start_warm(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    search = controlled()
    trainer = L.Trainer(max_epochs=1, **trainer_kwargs)
    trainer.fit(search, datamodule=data())
    trainer.save_checkpoint(tmp_path / "search.ckpt")
    inheritance = WeightInheritance([tmp_path / "search.ckpt"], recalibrate=2)
    final = NetworkTraining(SPACE, search.derive(), SKELETON, optimizer=Sgd(lr=0.0))
    L.Trainer(max_epochs=1, callbacks=[inheritance], **trainer_kwargs).fit(final, datamodule=Digits(batch_size=64))
    for name, value in final.network.named_parameters():
        if name in search.supernet.state_dict():
            assert torch.equal(value, search.supernet.state_dict()[name]), name


@pytest.mark.parametrize(
    ("search", "datamodule", "trainer", "text"),
    [
        (
            controlled,
            lambda: Bilevel(Digits(batch_size=64)),
            {},
            r"datamodule=Bilevel: .* Phased\(datamodule, fraction",
        ),
        (controlled, lambda: data(0), {}, r"Phased\(sampler_steps=0\) would never teach the LogitsController"),
        (
            lambda: RandomSharingSearch(SPACE, SKELETON),
            data,
            {},
            r"Phased\(sampler_steps=5\): a UniformSampler learns nothing .* sampler_steps=0",
        ),
        (
            controlled,
            data,
            {"limit_train_batches": 0.5},
            r"limit_train_batches=0.5\) would cut off",
        ),
        (controlled, data, {"limit_val_batches": 0}, r"limit_val_batches=0\): WeightSharingSearch derives its result"),
        (
            controlled,
            data,
            {"max_epochs": 3, "check_val_every_n_epoch": 2},
            r"max_epochs=3, check_val_every_n_epoch=2\): WeightSharingSearch .* last epoch: give a number that divides",
        ),
        (controlled, data, {"gradient_clip_val": 1.0}, r"clip=1.0"),
    ],
)
def test_refusals(search: Any, datamodule: Any, trainer: Any, text: str, trainer_kwargs: dict[str, Any]) -> None:
    module = search()
    with pytest.raises(MisconfigurationException, match=text):
        L.Trainer(**{"max_epochs": 1, **trainer_kwargs, **trainer}).fit(module, datamodule=datamodule())
    assert module.sampler.told == 0


def test_arguments() -> None:
    chain = ConvChainSpace(depths=(2,))
    with pytest.raises(ValueError, match="ConvChainSpace has no supernet whose weights children could share"):
        RandomSharingSearch(chain, ChainSkeleton())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"WeightSharingSearch\(round_size=0\): give at least 1"):
        WeightSharingSearch(UniformSampler(SPACE), SKELETON, round_size=0)
    for settings, text in (
        ({"candidates": 0}, r"Derivation\(candidates=0\): give at least 1"),
        ({"every": -1}, r"Derivation\(every=-1\): give a number of epochs, or 0"),
        ({"statistics": "mean"}, r"Derivation\(statistics='mean'\): give one of batch, running, recalibrated"),
        ({"candidates": 15}, r"Derivation\(candidates=15, round_size=10\): give candidates as a multiple"),
    ):
        with pytest.raises(ValueError, match=text):
            Derivation(**settings)  # type: ignore[arg-type]


def test_nested_parts_are_recorded() -> None:
    evolution = RegularizedEvolution(SPACE, 4, 2)
    search = WeightSharingSearch(UniformSampler(SPACE), SKELETON, Derivation(20, sampler=evolution))
    recorded = search.hparams["derivation"]["init_args"]
    assert recorded["sampler"]["class_path"].endswith("RegularizedEvolution")
    again = WeightSharingSearch(**dict(search.hparams))
    assert again.derivation.sampler is not None
    assert again.derivation.sampler.space == SPACE or type(again.derivation.sampler.space) is BoringSpace
    assert EnasSearch(SPACE, SKELETON).derivation.candidates == 10
