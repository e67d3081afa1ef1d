"""`~` in a path is the home folder for every argument that is a path."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from lightning_nas import CsvLatency, Genotype, TableEvaluator, TableLatency, WeightStore
from lightning_nas.callbacks.retrain import read_template
from lightning_nas.cli.chain import Chain, read_config
from lightning_nas.data import ImageFolder
from lightning_nas.export.run import export_network
from lightning_nas.inheritance.transfer import read_source
from lightning_nas.pareto import Front
from lightning_nas.runtime.files import write_atomically
from lightning_nas.spaces import NasBench201Space
from lightning_nas.training.network import read_weights

SPACE = NasBench201Space()
GENOTYPE = SPACE.sample(torch.Generator().manual_seed(0))
FIT_CONFIG = {"model": {"class_path": "NetworkTraining"}}
FIT = "model: {class_path: NetworkTraining}\n"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield folder
    assert not list((tmp_path / "here").iterdir()), "a folder of the name ~ was made"


def network(path: Path, key: str) -> None:
    torch.save({"state_dict": {f"{key}.weight": torch.zeros(1)}}, path)


READ: dict[str, tuple[Callable[[Path], object], Callable[[str], object]]] = {
    "Genotype.load": (GENOTYPE.save, Genotype.load),
    "read_config": (lambda path: path.write_text(FIT), read_config),
    "read_template": (lambda path: path.write_text(FIT), read_template),
    "CsvLatency": (lambda path: path.write_text("arch,ms\na,1\n"), lambda path: CsvLatency(path, "ms")),
    "TableEvaluator": (
        lambda path: path.write_text("arch,acc\na,1\n"),
        lambda path: TableEvaluator(path, {1: {"val/accuracy": "acc"}}),
    ),
    "read_weights": (lambda path: network(path, "network"), read_weights),
    "read_source": (lambda path: network(path, "supernet"), read_source),
}


@pytest.mark.parametrize("name", READ)
def test_files_are_read_from_the_home_folder(name: str, home: Path) -> None:
    write, read = READ[name]
    write(home / "file.yaml")
    read("~/file.yaml")
    with pytest.raises(ValueError, match=r"none\.yaml"):
        read("~/none.yaml")


def test_files_are_written_to_the_home_folder(home: Path) -> None:
    write_atomically("~/deep/file.txt", "text")
    GENOTYPE.save("~/genotype.yaml")
    WeightStore("~/store").save(0, {"a": torch.zeros(1)})
    WeightStore("weights").within("~/run").save(1, {"a": torch.zeros(1)})
    table = TableLatency("~/table.json", image_size=8, repetitions=1, warmup=0, threads=1)
    table(SPACE, GENOTYPE, SPACE.skeleton(channels=2, cells_per_stage=1))
    names = {path.relative_to(home).parts[0] for path in home.rglob("*")}
    assert names == {"deep", "genotype.yaml", "store", "run", "table.json"}


def test_chains_fronts_exports_and_images_look_into_the_home_folder(home: Path) -> None:
    assert Chain(search=FIT_CONFIG, retrain=FIT_CONFIG, output="~/runs")._folder == home / "runs"
    for attempt, error in (
        (lambda: Front.load("~/front"), str(home / "front")),
        (lambda: export_network("~/none.ckpt", "~/n.onnx"), "~/none.ckpt"),
        (lambda: ImageFolder("~/photos").class_names, str(home / "photos")),
    ):
        with pytest.raises(ValueError, match=error):
            attempt()
