"""The two halves of a training set."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, WeightedRandomSampler

from lightning_nas.config import instantiate
from lightning_nas.data import Bilevel, Digits
from lightning_nas.data.loading import as_it_is


def keep(samples: list[Any]) -> Any:
    """A collate function of the user's own."""
    return {"number": torch.stack([sample[0] for sample in samples])}


class Plain(L.LightningDataModule):
    """A user's own module: numbers 0..39."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.data = TensorDataset(torch.arange(40.0)[:, None])
        self.loader = loader
        if loader is None:
            self.loader = DataLoader(self.data, batch_size=6, shuffle=True, drop_last=True, collate_fn=keep)

    def prepare_data(self) -> None:
        self.calls.append("prepare")

    def setup(self, stage: str) -> None:
        self.calls.append(stage)
        self.attached = self.trainer

    def train_dataloader(self) -> Any:
        return self.loader

    def test_dataloader(self) -> Any:
        return DataLoader(self.data, batch_size=3)

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return batch["number"] if isinstance(batch, dict) else batch[0]

    def on_after_batch_transfer(self, batch: Tensor, dataloader_idx: int) -> Tensor:
        return batch + 1000

    def teardown(self, stage: str) -> None:
        self.calls.append("teardown")

    def state_dict(self) -> dict[str, Any]:
        return {"calls": len(self.calls)}


def halves(data: Bilevel, epoch: int = 0) -> dict[str, list[int]]:
    combined = data.train_dataloader()
    found = {}
    for name, loader in combined.iterables.items():
        loader.sampler.set_epoch(epoch)
        found[name] = [loader.dataset.indices[i] for i in loader.sampler]
    return found


def test_halves_are_disjoint_and_cover_the_training_set() -> None:
    data = Bilevel(Digits(batch_size=32, validation=0), fraction=0.25)
    data.setup("fit")
    found = halves(data)
    train, val = set(found["train"]), set(found["val"])
    assert not train & val
    assert train | val == set(range(1438))
    assert len(train) in (359, 360)


def test_halves_follow_the_seed_and_are_shuffled_independently() -> None:
    def build(seed: int) -> Bilevel:
        data = Bilevel(Digits(batch_size=32, validation=0), seed=seed)
        data.setup("fit")
        return data

    first, again, other = build(0), build(0), build(1)
    assert halves(first) == halves(again)
    assert set(halves(first)["train"]) != set(halves(other)["train"])
    zero, one = halves(first, 0), halves(first, 1)
    assert all(zero[name] != one[name] and set(zero[name]) == set(one[name]) for name in zero)
    orders = [list(loader.sampler) for loader in first.train_dataloader().iterables.values()]
    assert orders[0] != orders[1]


def test_ranks_share_each_half() -> None:
    shares: dict[str, list[int]] = {"train": [], "val": []}
    for number in (0, 1):
        data = Bilevel(Digits(batch_size=8, validation=0))
        strategy = SimpleNamespace(root_device=torch.device("cpu"))
        data.trainer = SimpleNamespace(world_size=2, global_rank=number, strategy=strategy)  # type: ignore[assignment]
        data.setup("fit")
        for name, positions in halves(data).items():
            assert not set(positions) & set(shares[name])
            shares[name] += positions
    assert len(shares["train"] + shares["val"]) >= 1436


def test_the_inner_loader_keeps_its_settings() -> None:
    inner = Plain(DataLoader(Plain().data, batch_size=6, collate_fn=keep, drop_last=True, timeout=0))
    data = Bilevel(inner)
    data.setup("fit")
    for loader in data.train_dataloader().iterables.values():
        assert loader.batch_size == 6
        assert loader.collate_fn is keep
        assert loader.drop_last
    digits = Bilevel(Digits(batch_size=32))
    digits.setup("fit")
    assert digits.train_dataloader().iterables["val"].collate_fn is as_it_is


def test_the_longer_half_sets_the_length_of_an_epoch() -> None:
    data = Bilevel(Plain(), fraction=0.75)
    data.setup("fit")
    combined = data.train_dataloader()
    batches = [batch for batch, _, _ in combined]
    assert len(batches) == 5
    assert all(set(batch) == {"train", "val"} for batch in batches)
    seen = torch.cat([batch["train"]["number"] for batch in batches]).flatten()
    assert len(seen.unique()) == 30


class Probe(BoringModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen: dict[str, list[Any]] = {"train": [], "val": [], "test": []}

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen["train"].append(batch)
        return self.layer.weight.sum()

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen["val"].append(batch)

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        self.seen["test"].append(batch)


def trainer(path: Path, **options: Any) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(default_root_dir=path, accelerator="cpu", devices=1, **(quiet | options))


def test_a_users_own_module_trains(tmp_path: Path) -> None:
    inner, model = Plain(), Probe()
    data = Bilevel(inner)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(model, datamodule=data)
    assert inner.calls == ["prepare", "fit", "teardown"]
    assert inner.attached is run  # already during its setup
    train = torch.cat([batch["train"] for batch in model.seen["train"]]) - 1000
    val = torch.cat([batch["val"] for batch in model.seen["train"]]) - 1000
    assert len(train) == len(val) == 18
    assert not set(train.flatten().tolist()) & set(val.flatten().tolist())
    # without a validation loader of its own: the architecture half, whole and in fixed order
    shown = torch.cat(model.seen["val"][-4:]).flatten() - 1000
    assert len(shown) == 20
    assert set(val.flatten().tolist()) <= set(shown.tolist())
    run.test(model, datamodule=data, verbose=False)
    assert torch.equal(torch.cat(model.seen["test"]).flatten() - 1000, torch.arange(40.0))
    assert data.classes is None
    assert data.shape is None
    assert data.mean is None
    assert data.state_dict() == inner.state_dict()


def test_both_halves_are_augmented_in_training_and_the_validation_half_is_not(tmp_path: Path) -> None:
    model = Probe()
    data = Bilevel(Digits(batch_size=64, validation=0, cutout=4))
    trainer(tmp_path, max_epochs=1, limit_train_batches=2).fit(model, datamodule=data)
    for batch in model.seen["train"]:
        for name in ("train", "val"):
            images, targets = batch[name]
            assert (images == 0).any()
            assert images.dtype == torch.float32
            assert len(targets) == 64
    assert not any((images == 0).any() for images, _ in model.seen["val"])
    whole = sum(len(targets) for _, targets in model.seen["val"][2:])  # the sanity check takes two batches
    assert whole == 719


def test_the_inner_modules_validation_set_is_preferred() -> None:
    inner = Digits(batch_size=32, validation=0.2)
    data = Bilevel(inner)
    data.setup("fit")
    positions = [p for batch in data.val_dataloader() for p in batch[2].tolist()]
    assert inner.parts[1] is not None
    assert sorted(positions) == inner.parts[1].indices


def test_attributes_are_those_of_the_inner_module() -> None:
    inner = Digits(size=16)
    data = Bilevel(inner)
    assert (data.classes, data.class_names, data.shape) == (10, inner.class_names, (1, 16, 16))
    assert data.mean == inner.mean
    assert data.std == inner.std


def test_config_makes_an_equal_module() -> None:
    data = Bilevel(Digits(32), fraction=0.25, seed=3)
    again = instantiate(data.config())
    assert again.config() == data.config()
    assert isinstance(again.datamodule, Digits)
    assert Bilevel(Plain()).config()["init_args"]["datamodule"]["class_path"].endswith("Plain")


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5, 2.0])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"fraction={fraction} must lie between 0 and 1"):
        Bilevel(Digits(), fraction=fraction)


def test_a_bilevel_in_a_bilevel_is_refused() -> None:
    with pytest.raises(ValueError, match="already a Bilevel"):
        Bilevel(Bilevel(Digits()))


def test_something_else_than_a_data_module_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a LightningDataModule"):
        Bilevel("digits")  # type: ignore[arg-type]


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Any:
        yield torch.zeros(1)


NUMBERS = TensorDataset(torch.arange(40.0)[:, None])


@pytest.mark.parametrize(
    ("loader", "text"),
    [
        ([torch.zeros(2, 1)], "gives a list, which cannot be split"),
        (DataLoader(Endless(), batch_size=2), "is an IterableDataset, which cannot be split"),
        (
            DataLoader(NUMBERS, batch_size=2, sampler=WeightedRandomSampler([1.0] * 40, 40)),
            "its own WeightedRandomSampler",
        ),
        (DataLoader(NUMBERS, batch_sampler=[[0, 1], [2, 3]]), "its own batch_sampler"),
        (
            DataLoader(NUMBERS, batch_size=32),
            r"batch_size=32 is larger than the 'train' half .*fraction=0.5.* 20 images",
        ),
    ],
)
def test_a_training_loader_that_cannot_be_halved_is_refused_at_setup(loader: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Bilevel(Plain(loader)).setup("fit")
