"""Exported networks say what the original says, and what cannot be exported leaves no file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn

from lightning_nas import (
    DartsSearch,
    ExportError,
    NetworkTraining,
    SearchSpace,
    Skeleton,
    StagedSkeleton,
    export_network,
)
from lightning_nas.__main__ import main
from lightning_nas.data import Bilevel, Digits, InputDescription
from lightning_nas.data.description import describe
from lightning_nas.export import formats
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import NasBench201Space
from lightning_nas.testing import SMALL_SPACES, BoringData

pytestmark = pytest.mark.slow


def of_digits(name: str, **changes: Any) -> tuple[SearchSpace, Skeleton]:
    """A small space whose networks take digits."""
    space, skeleton, _ = SMALL_SPACES[name]
    return space, replace(skeleton, in_channels=1, classes=10, **changes)


SPACES: dict[str, tuple[SearchSpace, Skeleton]] = {
    "DartsSpace": of_digits("DartsSpace-imagenet", stem="cifar", auxiliary=True),
    "DartsSpace-fixed": of_digits("DartsSpace-fixed"),
    "NasBench201Space": of_digits("NasBench201Space"),
    "NasnetSpace": of_digits("NasnetSpace-imagenet", stem="cifar"),
    "EnasMicroSpace": of_digits("EnasMicroSpace"),
    "EnasMacroSpace": of_digits("EnasMacroSpace"),
    "EnasMacroSpace-concatenate": of_digits("EnasMacroSpace-concatenate"),
    "ConvChainSpace": of_digits("ConvChainSpace-tiny"),
}
CLASSES = [case for case in SPACES if "-" not in case]
"""One case of each class of spaces."""
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"


def size_of(skeleton: Skeleton) -> int:
    return 32 if skeleton.minimum_size > 8 else 8


def trained(space: SearchSpace, skeleton: Skeleton, folder: Path) -> Path:
    """A checkpoint whose network has learned for three batches of digits, so that its norms have seen images."""
    L.seed_everything(0, verbose=False)
    genotype = space.parse(CELL) if isinstance(space, NasBench201Space) else space.sample(generator(1, "export"))
    training = NetworkTraining(space, genotype, skeleton)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(
        max_epochs=1, limit_train_batches=3, accelerator="cpu", enable_model_summary=False, num_sanity_val_steps=0,
        limit_val_batches=0, default_root_dir=folder, **quiet,
    )  # fmt: skip
    trainer.fit(training, Digits(batch_size=64, size=size_of(skeleton)))
    trainer.save_checkpoint(folder / "network.ckpt", weights_only=False)
    return folder / "network.ckpt"


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The checkpoint of a case, trained once for both formats."""
    return cache(lambda case: trained(*SPACES[case], tmp_path_factory.mktemp("export")))


@pytest.fixture(scope="module")
def checkpoint(checkpoints: Callable[[str], Path]) -> Path:
    """A small network of NAS-Bench-201."""
    return checkpoints("NasBench201Space")


@pytest.mark.parametrize("suffix", ["pt2", pytest.param("onnx", marks=pytest.mark.long)])
@pytest.mark.parametrize(
    "case", [case if case in CLASSES else pytest.param(case, marks=pytest.mark.long) for case in SPACES]
)
def test_every_space_agrees_on_real_images(
    case: str, suffix: str, checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    size = size_of(SPACES[case][1])
    report = export_network(checkpoints(case), tmp_path / f"network.{suffix}", data=Digits(size=size))
    assert report.real
    assert report.images == 100
    assert report.difference < 1e-4
    assert report.metadata["size"] == [size, size]
    if suffix == "pt2":
        program = torch.export.load(report.path)
        assert not [name for name in program.state_dict if "auxiliary" in name]


def test_onnx_file_stands_alone(checkpoint: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    report = export_network(
        checkpoint, tmp_path / "a.onnx", data=Digits(), with_normalisation=True, with_softmax=True, opset=20
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.json", "a.onnx"]
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    (given,), (output,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape, output.name) == ("images", ["batch", 1, 8, 8], "probabilities")
    travelled = session.get_modelmeta().custom_metadata_map
    assert json.loads(travelled["class_names"]) == [str(digit) for digit in range(10)]
    assert json.loads(travelled["size"]) == [8, 8]
    assert json.loads(travelled["mean"]) == pytest.approx(list(Digits().mean))
    assert json.loads((tmp_path / "a.json").read_text()) == report.metadata
    assert report.metadata["normalisation"] == "in the network"
    images = Digits().testing.read(torch.arange(40))
    training = NetworkTraining.load_from_checkpoint(checkpoint, weights_only=True).eval()
    mean, std = torch.tensor(Digits().mean), torch.tensor(Digits().std)
    with torch.no_grad():
        expected = training((images / 255 - mean) / std).softmax(-1)
    found = torch.from_numpy(session.run(None, {"images": (images / 255).numpy()})[0])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert float(expected.std()) > 1e-3, "the network says the same of all images: nothing was compared"


def test_program_takes_a_fixed_batch_and_metadata(checkpoint: Path, tmp_path: Path) -> None:
    report = export_network(checkpoint, tmp_path / "a.pt2", batch_size=3, check_images=4)
    assert (report.images, report.real, report.side_file) == (6, False, None)
    extra = {formats.EXTRA_FILE: ""}
    program = torch.export.load(tmp_path / "a.pt2", extra_files=extra).module()
    assert json.loads(extra[formats.EXTRA_FILE]) == report.metadata
    assert program(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    with pytest.raises(Exception, match=r"batch|shape|size|[Gg]uard"):
        program(torch.zeros(2, 1, 8, 8))


def test_a_module_is_exported_and_stays_as_it_is(tmp_path: Path) -> None:
    space, skeleton = SPACES["DartsSpace"]
    training = NetworkTraining(space, space.sample(generator(0, "x")), skeleton)
    before = {name: value.clone() for name, value in training.state_dict().items()}
    export_network(training, tmp_path / "a.pt2", description=InputDescription(size=(32, 32)), check_images=2)
    assert all(module.training for module in training.modules())
    assert all(torch.equal(value, before[name]) for name, value in training.state_dict().items())


def refused(source: Any, output: Path, **more: Any) -> str:
    """The error's text; no file may have appeared."""
    folder = output.parent
    before = sorted(folder.iterdir()) if folder.is_dir() else None
    with pytest.raises(ExportError) as caught:
        export_network(source, output, **more)
    assert (sorted(folder.iterdir()) if folder.is_dir() else None) == before
    return str(caught.value)


def test_what_is_no_checkpoint_of_a_training(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    space, skeleton = NasBench201Space(), SPACES["NasBench201Space"][1]
    trainer = L.Trainer(**trainer_kwargs, max_epochs=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(DartsSearch(space, skeleton), Bilevel(Digits(batch_size=16)))
    trainer.save_checkpoint(tmp_path / "search.ckpt", weights_only=False)
    torch.save(space.build(space.parse(CELL), skeleton).state_dict(), tmp_path / "weights.pt")
    torch.save({"state_dict": nn.Linear(1, 1).state_dict(), "hyper_parameters": {"lr": 0.1}}, tmp_path / "other.ckpt")
    torch.save(torch.zeros(2), tmp_path / "tensor.pt")
    (tmp_path / "notes.ckpt").write_text("no checkpoint at all")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    expected = {
        "search.ckpt": ("that of a search", "Train the network"),
        "weights.pt": ("no checkpoint of Lightning", "NetworkTraining"),
        "other.ckpt": ("another module", "lr", "NetworkTraining"),
        "tensor.pt": ("no checkpoint of Lightning",),
        "notes.ckpt": ("cannot be read as a checkpoint",),
        "empty.ckpt": ("cannot be read as a checkpoint",),
        "missing.ckpt": ("no such file",),
    }
    (tmp_path / "out").mkdir()
    for name, parts in expected.items():
        text = refused(tmp_path / name, tmp_path / "out" / "a.pt2")
        assert name in text
        for part in parts:
            assert part in text, text


def test_a_checkpoint_cut_short_or_of_a_missing_package(checkpoint: Path, tmp_path: Path) -> None:
    whole = checkpoint.read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[: len(whole) // 2])
    assert "cut.ckpt" in refused(tmp_path / "cut.ckpt", tmp_path / "a.pt2")
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["space"] = {"class_path": "gone.Space", "init_args": {}}
    torch.save(content, tmp_path / "gone.ckpt")
    assert "gone.Space" in refused(tmp_path / "gone.ckpt", tmp_path / "a.pt2")


OPTIONS: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "low opset": ("a.onnx", {"opset": 9}, ("opset=9", "give 16 to")),
    "high opset": ("a.onnx", {"opset": 999}, ("opset=999", "give 16 to")),
    "opset of torch": ("a.pt2", {"opset": 18}, ("opset=18 is for ONNX",)),
    "folder": ("nowhere/a.pt2", {}, ("does not exist", "nowhere")),
    "ending": ("a.bin", {}, (".onnx or .pt2",)),
    "other ending": ("a.onnx", {"format": "torch"}, ("ending of the other format",)),
    "batch": ("a.pt2", {"batch_size": 0}, ("batch_size=0",)),
    "images": ("a.pt2", {"check_images": 0}, ("check_images=0",)),
    "small": ("a.pt2", {"description": InputDescription(size=(2, 2))}, ("2x2 pixels", "at least 4")),
    "classes": ("a.pt2", {"description": InputDescription(class_names=("a", "b"))}, ("2 classes", "classes=10")),
    "channels": ("a.pt2", {"description": InputDescription(mean=(0, 0, 0), std=(1, 1, 1))}, ("3 channels",)),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_options_are_refused(case: str, checkpoint: Path, tmp_path: Path) -> None:
    name, options, parts = OPTIONS[case]
    text = refused(checkpoint, tmp_path / name, **options)
    for part in parts:
        assert part in text, text


def test_files_that_exist_stay(checkpoint: Path, tmp_path: Path) -> None:
    for name in ("a.onnx", "b.json", "c.pt2"):
        (tmp_path / name).write_text("mine")
    for name in ("a.onnx", "b.onnx", "c.pt2"):
        assert "exists already" in refused(checkpoint, tmp_path / name)
    assert all(file.read_text() == "mine" for file in tmp_path.iterdir())


def test_old_checkpoints_need_a_size(checkpoint: Path, tmp_path: Path) -> None:
    content = torch.load(checkpoint, weights_only=True)
    assert content.pop("input") == {
        "size": [8, 8],
        "mean": list(Digits().mean),
        "std": list(Digits().std),
        "class_names": [str(digit) for digit in range(10)],
    }
    torch.save(content, tmp_path / "old.ckpt")
    assert "--size HEIGHTxWIDTH" in refused(tmp_path / "old.ckpt", tmp_path / "a.pt2")
    size = InputDescription(size=(8, 8))
    text = refused(tmp_path / "old.ckpt", tmp_path / "a.pt2", description=size, with_normalisation=True)
    assert "--mean and --std" in text
    report = export_network(tmp_path / "old.ckpt", tmp_path / "a.pt2", description=size, check_images=3)
    assert report.metadata["class_names"] is None


def test_data_that_does_not_say_is_described_by_its_batches(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    training = NetworkTraining(NasBench201Space(), NasBench201Space().parse(CELL), StagedSkeleton(4, cells_per_stage=1))
    trainer = L.Trainer(**trainer_kwargs, max_epochs=1)
    data = BoringData(bilevel=False, shape=(3, 8, 12))
    trainer.fit(training, data.train_dataloader(), data.val_dataloader())
    trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    assert torch.load(tmp_path / "a.ckpt", weights_only=True)["input"] == {
        "size": [8, 12], "mean": None, "std": None, "class_names": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"mean": torch.tensor([0.25, 0.5]), "std": [1, 2]}, InputDescription(mean=(0.25, 0.5), std=(1.0, 2.0))),
        ({"mean": 0.5, "std": 0.5, "class_names": "cats", "shape": 3}, InputDescription()),
        ({"mean": [0.5], "std": [0.5, 0.5]}, InputDescription()),
        ({"mean": [0.5], "std": [0.0], "class_names": ["a", 1]}, InputDescription(class_names=("a", "1"))),
    ],
)
def test_what_foreign_data_say_never_hinders_a_checkpoint(attributes: Any, expected: InputDescription) -> None:
    assert describe(SimpleNamespace(**attributes)) == expected


def test_another_network_is_found_out(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert, load, kept = formats.Torch.convert, formats.Torch.load, list[bytes]()

    def converted_once(*arguments: Any) -> bytes:
        if not kept:
            kept.append(convert(*arguments))
        return kept[0]

    monkeypatch.setattr(formats.Torch, "convert", converted_once)
    for change in (lambda out: out + 1e-3, lambda out: out * float("nan"), lambda out: out[:, :5]):
        monkeypatch.setattr(formats.Torch, "load", lambda self, content, c=change: lambda x: c(load(self, content)(x)))
        assert "differs from the original" in refused(checkpoint, tmp_path / "a.pt2")


def test_a_failing_exporter_leaves_no_file(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no decomposition\nmore")

    monkeypatch.setattr(torch.export, "export", broken)
    assert "RuntimeError: no decomposition" in refused(checkpoint, tmp_path / "a.pt2")


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_packages(package: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    text = refused(checkpoint, tmp_path / "a.onnx")
    assert f"needs {package}" in text
    assert "pip install 'lightning-nas[onnx]'" in text


def test_an_opset_that_torch_falls_back_from(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(formats, "OLDEST_OPSET", 7)
    assert "can only be written with 18" in refused(checkpoint, tmp_path / "a.onnx", opset=13)
    assert not "".join(capfd.readouterr()), "the log of torch's exporter is not for users"


def test_command(checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "retrain.yaml").write_text("data: {class_path: Digits, init_args: {batch_size: 32}}\n")
    words = ["export", str(checkpoint), "--output"]
    main(
        [
            *words,
            str(tmp_path / "a.pt2"),
            "--config",
            str(tmp_path / "retrain.yaml"),
            "--class-names",
            "[a,b,c,d,e,f,g,h,i,j]",
        ]
    )
    assert "On 100 real images" in capsys.readouterr().out
    extra = {formats.EXTRA_FILE: ""}
    torch.export.load(tmp_path / "a.pt2", extra_files=extra)
    assert json.loads(extra[formats.EXTRA_FILE])["class_names"] == list("abcdefghij")
    main([*words, str(tmp_path / "b.pt2"), "--size", "12x16", "--check-images", "5"])
    assert "On 5 random images" in capsys.readouterr().out
    for more, text in {
        ("--size", "large"): "--size large: give HEIGHTxWIDTH",
        ("--mean", "[0.5]", "--std", "[0]"): "must be positive",
        ("--mean", "[0.5]"): "give both",
        ("--config", str(tmp_path / "none.yaml")): "no such config file",
        ("--config", str(tmp_path / "retrain.yaml"), "--data", "Digits"): "give one of them",
    }.items():
        with pytest.raises(SystemExit) as caught:
            main([*words, str(tmp_path / "c.pt2"), *more])
        assert caught.value.code == 1
        assert text in capsys.readouterr().err
    assert not (tmp_path / "c.pt2").exists()
