"""What all image data modules do: parts, order, transfer to the device."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
import torchvision
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.plugins import Precision
from torch import Tensor, nn
from torch.utils.data import Subset

from lightning_nas.config import instantiate
from lightning_nas.data import Augment, Cifar10, Cifar100, Digits, FashionMnist, ImageData, ImageFolder
from lightning_nas.data.loading import as_it_is, evaluation_loader, split, training_loader


def rank(number: int, of: int) -> Any:
    return SimpleNamespace(world_size=of, global_rank=number)


def positions(loader: Any, epoch: int = 0) -> list[int]:
    loader.sampler.set_epoch(epoch)
    return [position for batch in loader for position in batch[2].tolist()]


class Probe(BoringModel):
    """Notes what reaches the steps."""

    def __init__(self, side: int = 8, channels: int = 1) -> None:
        super().__init__()
        self.layer = nn.Linear(channels * side * side, 10)
        self.seen: dict[str, list[Tensor]] = {"train": [], "val": [], "test": []}

    def step(self, batch: Any, name: str) -> Tensor:
        images, targets = batch
        self.seen[name].append(images.detach().clone())
        return nn.functional.cross_entropy(self.layer(images.flatten(1)), targets)

    def training_step(self, batch: Any, batch_idx: int) -> Any:
        return self.step(batch, "train")

    def validation_step(self, batch: Any, batch_idx: int) -> Any:
        return self.step(batch, "val")

    def test_step(self, batch: Any, batch_idx: int) -> Any:
        return self.step(batch, "test")


def trainer(path: Path, **options: Any) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(default_root_dir=path, accelerator="cpu", devices=1, **(quiet | options))


def test_digits_has_three_disjoint_parts_fixed_by_the_split_seed() -> None:
    data = Digits(batch_size=32, validation=0.25)
    data.setup("fit")
    train, val = (set(part.indices) for part in data.parts)  # type: ignore[union-attr]
    assert not train & val
    assert train | val == set(range(len(data.training)))
    assert len(data.training) + len(data.testing) == 1797
    assert len(data.testing) == 359
    again, other = Digits(validation=0.25), Digits(validation=0.25, split_seed=1)
    assert set(again.parts[0].indices) == train
    assert set(other.parts[0].indices) != train
    assert torch.equal(again.testing.images, data.testing.images)  # type: ignore[attr-defined]
    assert not torch.equal(other.testing.images, data.testing.images)  # type: ignore[attr-defined]


def test_no_validation_share_gives_no_loader() -> None:
    data = Digits(validation=0)
    data.setup("fit")
    assert data.val_dataloader() == []


def test_digits_scaled_up() -> None:
    data = Digits(size=16)
    data.setup("test")
    assert data.testing[0][0].shape == data.shape == (1, 16, 16)
    assert data.testing.targets is not None
    assert sorted(set(data.testing.targets.tolist())) == list(range(10))


def test_digits_without_scikit_learn_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r"pip install lightning-nas\[demo\]"):
        Digits().setup("fit")


def test_epochs_differ_and_an_epoch_repeats_in_a_new_instance() -> None:
    first, second = Digits(), Digits()
    zero, one = positions(first.train_dataloader(), 0), positions(first.train_dataloader(), 1)
    assert zero != one
    assert sorted(zero) == sorted(one)
    assert positions(second.train_dataloader(), 1) == one


def test_the_run_seed_changes_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    before = positions(Digits().train_dataloader())
    monkeypatch.setenv("PL_GLOBAL_SEED", "5")
    assert positions(Digits().train_dataloader()) != before


@pytest.mark.parametrize("count", [101, 128])
def test_ranks_share_the_training_set_without_overlap(count: int) -> None:
    train = Subset(Digits().training, range(count))
    shares = [positions(training_loader(train, 8, rank(r, 2), "train", collate_fn=as_it_is)) for r in (0, 1)]
    assert not set(shares[0]) & set(shares[1])
    assert len(shares[0]) == len(shares[1]) == count // 2


def test_two_ranks_train_on_the_batches_of_one_with_twice_the_batch_size() -> None:
    train = Subset(Digits().training, range(128))
    alone = positions(training_loader(train, 16, None, "train", collate_fn=as_it_is))
    shares = [positions(training_loader(train, 8, rank(r, 2), "train", collate_fn=as_it_is)) for r in (0, 1)]
    for start in range(0, 64, 8):
        both = shares[0][start : start + 8] + shares[1][start : start + 8]
        assert set(both) == set(alone[2 * start : 2 * start + 16])


def test_evaluation_covers_every_image_once() -> None:
    test = Digits().testing
    loader = evaluation_loader(test, 50, None, collate_fn=as_it_is)
    assert positions(loader) == list(range(359))
    shares = [positions(evaluation_loader(test, 50, rank(r, 2), collate_fn=as_it_is)) for r in (0, 1)]
    assert set(shares[0]) | set(shares[1]) == set(range(359))
    assert len(shares[0]) == len(shares[1])


def test_only_a_last_batch_of_one_image_is_dropped() -> None:
    data = list(range(9))
    sizes = [len(batch) for batch in training_loader(data, 4, None, "train")]  # type: ignore[arg-type]
    assert sizes == [4, 4]
    sizes = [len(batch) for batch in training_loader(data, 7, None, "train")]  # type: ignore[arg-type]
    assert sizes == [7, 2]


def test_training_batches_are_augmented_and_others_are_not(tmp_path: Path) -> None:
    data, model = Digits(batch_size=64, cutout=4), Probe()
    run = trainer(tmp_path, max_epochs=1, limit_train_batches=2, limit_val_batches=1)
    run.fit(model, datamodule=data)
    raw = next(iter(data.val_dataloader()))[0]  # type: ignore[union-attr, arg-type]
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    for images in model.seen["val"]:  # the sanity check and the epoch's end
        torch.testing.assert_close(images, (raw / 255 - mean) / std)
    assert len(model.seen["val"]) == 2
    assert all((images == 0).any() for images in model.seen["train"])  # no pixel has the mean: zeros come from cutout
    assert not any((images == 0).any() for images in model.seen["val"])
    run.test(model, datamodule=data, verbose=False)
    assert not any((images == 0).any() for images in model.seen["test"])


def test_inputs_are_the_same_in_a_second_run_and_normalised(tmp_path: Path) -> None:
    seen = []
    for _ in range(2):
        model = Probe()
        trainer(tmp_path, max_epochs=2, limit_train_batches=2, limit_val_batches=0).fit(model, datamodule=Digits())
        seen.append(model.seen["train"])
    assert all(torch.equal(a, b) for a, b in zip(*seen, strict=True))
    assert len(seen[0]) == 4
    assert not torch.equal(seen[0][0], seen[0][2])
    assert abs(float(torch.cat(seen[0]).mean())) < 0.2


def test_a_batch_is_augmented_differently_in_another_epoch_and_alike_in_the_same() -> None:
    data = Digits()
    batch = data.training.__getitems__(range(32))

    def at(epoch: int) -> Tensor:
        data.trainer = SimpleNamespace(training=True, current_epoch=epoch, precision_plugin=Precision())  # type: ignore[assignment]
        return data.on_after_batch_transfer(batch, 0)[0]

    assert torch.equal(at(3), at(3))
    assert not torch.equal(at(3), at(4))


def test_double_precision_gets_double_images(tmp_path: Path) -> None:
    model = Probe()
    run = trainer(tmp_path, max_epochs=1, limit_train_batches=1, limit_val_batches=0, precision="64-true")
    run.fit(model, datamodule=Digits())
    assert model.seen["train"][0].dtype == torch.float64


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"batch_size": 0}, "batch_size=0"),
        ({"validation": 1.0}, "validation=1.0"),
        ({"validation": -0.1}, "validation=-0.1"),
        ({"workers": -1}, "workers=-1"),
        ({"size": 4}, "size=4"),
        ({"std": [0.0]}, r"std=\[0.0\]"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Digits(**arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"batch_size": 5000}, r"batch_size=5000 .* 1294 images\. Give batch_size=1294 or less"),
        ({"cutout": 16}, r"cutout=16 is larger than the images \(8 pixels\)"),
        ({"mean": [0.1, 0.2]}, r"mean=\[0.1, 0.2\] has 2 numbers; the images have 1 channels"),
    ],
)
def test_arguments_that_do_not_fit_the_data_are_refused_at_setup(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Digits(**arguments).setup("fit")


def test_prediction_without_a_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="predict_root=None"):
        Digits().setup("predict")


def fake(count: int, channels_last: bool) -> Any:
    class Fake:
        def __init__(self, root: str, train: bool, download: bool) -> None:
            if not download and root == "nowhere":
                raise RuntimeError("Dataset not found")
            if download and root == "nowhere":
                raise OSError("no route")
            size = (count, 32, 32, 3) if channels_last else (count, 28, 28)
            self.data = torch.full(size, 51 if train else 102, dtype=torch.uint8)
            self.data = self.data.numpy() if channels_last else self.data
            self.targets = [i % 10 for i in range(count)]

    return Fake


def test_cifar_has_channels_first_and_the_published_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", fake(20, channels_last=True))
    data = Cifar10("somewhere", batch_size=5)
    data.prepare_data()
    data.setup("fit")
    images, targets, _ = next(iter(data.train_dataloader()))
    assert images.shape == (5, 3, 32, 32)
    assert images.dtype == torch.uint8
    assert targets.dtype == torch.int64
    assert data.val_dataloader() == []
    assert data.classes == 10
    assert data.class_names[0] == "airplane"
    normal, _ = data.on_after_batch_transfer((images, targets, targets), 0)
    assert float(normal[0, 0, 0, 0]) == pytest.approx((0.2 - 0.49139968) / 0.24703233, abs=1e-5)
    assert data.testing[0][0].max() == 102


def test_fashion_mnist_is_padded_with_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "FashionMNIST", fake(4, channels_last=False))
    image = FashionMnist(batch_size=2).training[0][0]
    assert image.shape == (1, 32, 32)
    assert image[:, 2:30, 2:30].min() == 51
    assert image.sum() == 51 * 28 * 28
    assert FashionMnist(size=28).training[0][0].shape == (1, 28, 28)
    with pytest.raises(ValueError, match="size=20"):
        FashionMnist(size=20)


def test_missing_downloads_name_the_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision.datasets, "CIFAR100", fake(4, channels_last=True))
    data = Cifar100("nowhere")
    assert data.classes == 100
    with pytest.raises(ValueError, match="CIFAR100 is not in root='nowhere' and could not be downloaded"):
        data.prepare_data()
    with pytest.raises(ValueError, match=r"root='nowhere'.*prepare_data\(\)"):
        data.setup("fit")


@pytest.mark.parametrize(
    "data",
    [
        Digits(32, 16, validation=0.2, mean=(0.1,), std=[0.2]),
        Cifar10("x", cutout=16),
        Cifar100(Path("x")),
        FashionMnist(size=28),
        ImageFolder(Path("x"), 32, crop=0, resized_crop=0.08, jitter=0.4, test=0.1),
    ],
)
def test_config_makes_an_equal_module(data: ImageData) -> None:
    again = instantiate(data.config())
    assert type(again) is type(data)
    assert again.config() == data.config()
    assert again.augment == data.augment
    assert isinstance(again.augment, Augment)
    assert dict(data.hparams) == data.config()["init_args"]


def test_split_is_seeded_and_never_empty() -> None:
    rest, part = split(100, 0.3, 0, "a")
    assert len(part) == 30
    assert sorted(rest + part) == list(range(100))
    assert split(100, 0.3, 0, "a") == (rest, part)
    assert split(100, 0.3, 1, "a") != (rest, part)
    assert len(split(5, 0.01, 0, "a")[1]) == 1
    assert split(5, 0, 0, "a")[1] == []
