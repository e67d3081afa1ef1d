"""What every search must keep: it trains, reloads, and repeats itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import lightning as L
import torch
from torch import Tensor

from lightning_nas.search import SearchModule
from lightning_nas.testing.boring import BoringData


def _state(search: SearchModule) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in search.state_dict().items()}


def _differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> set[str]:
    assert one.keys() == other.keys()
    return {key for key in one if not torch.equal(one[key], other[key])}


class SearchContract:
    """Tests of a search. Inherit it in a class whose name begins with `Test`, and override `search`."""

    epochs: int = 2
    """Length of each run."""

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

    def test_every_part_learns(self, tmp_path: Path) -> None:
        search = self.start()
        before = _state(search)
        trainer = self.fit(search, tmp_path)
        moved = _differing(before, _state(search))
        for part, module in search.named_children():
            keys = {f"{part}.{name}" for name, weight in module.named_parameters() if weight.requires_grad}
            assert not keys or keys & moved, f"no parameter of {part!r} has moved"
        assert all(bool(value.isfinite().all()) for value in search.state_dict().values())
        assert all(bool(torch.as_tensor(value).isfinite().all()) for value in trainer.callback_metrics.values())
        assert trainer.global_step == self.epochs * int(trainer.num_training_batches), "global_step counts batches"

    def test_derive_has_no_effect(self, tmp_path: Path) -> None:
        search = self.start()
        assert search.derive() in search.space
        self.fit(search, tmp_path)
        before, random = _state(search), torch.get_rng_state()
        first = search.derive()
        assert first in search.space
        assert first == search.derive()
        assert not _differing(before, _state(search))
        assert torch.equal(random, torch.get_rng_state()), "derive() used global random numbers"

    def test_a_checkpoint_gives_an_equal_search(self, tmp_path: Path) -> None:
        search = self.start()
        assert json.loads(json.dumps(dict(search.hparams))) == dict(search.hparams), "hparams are plain data"
        trainer = self.fit(search, tmp_path)
        trainer.save_checkpoint(tmp_path / "search.ckpt")
        again = type(search).load_from_checkpoint(tmp_path / "search.ckpt", map_location="cpu", weights_only=True)
        assert dict(again.hparams) == dict(search.hparams)
        assert again.derive() == search.derive()
        assert not _differing(_state(search), _state(again))

    def test_the_same_seed_gives_the_same_result(self, tmp_path: Path) -> None:
        runs = []
        for _ in range(2):
            search = self.start()
            self.fit(search, tmp_path)
            runs.append((_state(search), search.derive()))
        assert not _differing(runs[0][0], runs[1][0])
        assert runs[0][1] == runs[1][1]
