"""What every search must keep: it trains, reloads, and repeats itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.search import SearchModule
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.testing.boring import BoringData, shared

State = Mapping[str, Tensor]


def _state(search: SearchModule) -> State:
    return {key: value.detach().clone() for key, value in search.state_dict().items()}


def _differing(one: State, other: State) -> set[str]:
    assert one.keys() == other.keys()
    return {key for key in one if not torch.equal(one[key], other[key])}


@dataclass(frozen=True)
class _Fit:
    """What a fit from seed 0 has left. The tests read it, and none touches the search itself."""

    search: type[SearchModule]
    space: SearchSpace
    hparams: dict[str, Any]
    trained: dict[str, set[str]]
    """Keys of the parameters that can learn, by part."""
    before: State
    after: State
    metrics: dict[str, Tensor]
    steps: int
    batches: int
    """Of one epoch, as the trainer counts them."""
    checkpoint: Path
    derived: tuple[Genotype, Genotype]
    """By two calls after the fit."""
    after_derive: State
    random: tuple[Tensor, Tensor]
    """States of the global generator around these calls."""


class SearchContract:
    """Tests of a search. Inherit it in a class whose name begins with `Test`, and override `search`.

    The tests of a class look at one fit; the last of them fits once more, to compare.
    """

    epochs: int = 2
    """Length of each fit."""

    def search(self) -> SearchModule:
        """A fresh search on a small skeleton."""
        raise NotImplementedError("Override search() to give a search on a small skeleton.")

    def datamodule(self) -> L.LightningDataModule:
        """Data that fits the search; override it if random images in two halves do not."""
        skeleton = self.search().skeleton
        size = max(8, skeleton.minimum_size)
        return BoringData(skeleton.classes, (skeleton.in_channels, size, size))

    def start(self) -> SearchModule:
        """The search, made from seed 0."""
        L.seed_everything(0, verbose=False)
        return self.search()

    def fit(self, search: SearchModule, folder: Path) -> L.Trainer:
        """Train on the CPU, without a log or files."""
        trainer = L.Trainer(
            max_epochs=self.epochs,
            accelerator="cpu",
            devices=1,
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(search, datamodule=self.datamodule())
        return trainer

    def test_every_part_learns(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        found = self._fitted(tmp_path_factory)
        moved = _differing(found.before, found.after)
        for part, keys in found.trained.items():
            assert not keys or keys & moved, f"no parameter of {part!r} has moved"
        assert all(bool(value.isfinite().all()) for value in found.after.values())
        assert all(bool(torch.as_tensor(value).isfinite().all()) for value in found.metrics.values())
        assert found.steps == self.epochs * found.batches, "global_step counts batches"

    def test_derive_has_no_effect(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        search = self.start()
        assert search.derive() in search.space
        found = self._fitted(tmp_path_factory)
        first, second = found.derived
        assert first in found.space
        assert first == second
        assert not _differing(found.after, found.after_derive)
        assert torch.equal(*found.random), "derive() used global random numbers"

    def test_a_checkpoint_gives_an_equal_search(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        found = self._fitted(tmp_path_factory)
        assert json.loads(json.dumps(found.hparams)) == found.hparams, "hparams are plain data"
        again = found.search.load_from_checkpoint(found.checkpoint, map_location="cpu", weights_only=True)
        assert dict(again.hparams) == found.hparams
        assert again.derive() == found.derived[0]
        assert not _differing(found.after, _state(again))

    def test_the_same_seed_gives_the_same_result(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        found = self._fitted(tmp_path_factory)
        search = self.start()
        search.derive()  # before the first fit there was none: it has no effect on what follows
        self.fit(search, tmp_path_factory.mktemp("again"))
        assert not _differing(found.after, _state(search))
        assert found.derived[0] == search.derive()

    def _fitted(self, folders: pytest.TempPathFactory) -> _Fit:
        """The fit that all tests look at."""
        return shared(self, "fit", lambda: self._look_at_a_fit(folders.mktemp("fit")))

    def _look_at_a_fit(self, folder: Path) -> _Fit:
        search = self.start()
        hparams, before = dict(search.hparams), _state(search)
        trainer = self.fit(search, folder)
        after = _state(search)
        trainer.save_checkpoint(folder / "search.ckpt")
        random = torch.get_rng_state()
        derived = search.derive(), search.derive()
        return _Fit(
            search=type(search),
            space=search.space,
            hparams=hparams,
            trained={
                part: {f"{part}.{name}" for name, weight in module.named_parameters() if weight.requires_grad}
                for part, module in search.named_children()
            },
            before=before,
            after=after,
            metrics=dict(trainer.callback_metrics),
            steps=trainer.global_step,
            batches=int(trainer.num_training_batches),
            checkpoint=folder / "search.ckpt",
            derived=derived,
            after_derive=_state(search),
            random=(random, torch.get_rng_state()),
        )
