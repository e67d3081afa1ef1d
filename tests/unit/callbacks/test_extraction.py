"""`ExtractGenotype`: when it writes, what it writes, and what it never loses."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from helpers.small_fits import At, TinyData, darts, events, fit, gdas, interrupted, plant
from lightning_nas import Genotype, NetworkTraining, NonFiniteLossError, StagedSkeleton
from lightning_nas.callbacks import ExtractGenotype
from lightning_nas.spaces import NasBench201Space

pytestmark = pytest.mark.slow


def files(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.is_file())


def test_writes_genotype_and_picture_into_the_root(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = gdas()
    fit(search, trainer_kwargs, ExtractGenotype())
    assert files(tmp_path) == ["genotype.png", "genotype.yaml"]
    assert Genotype.load(tmp_path / "genotype.yaml") == search.derive()


def test_json_absolute_path_and_no_picture(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search, path = darts(), tmp_path / "elsewhere" / "cell.json"
    fit(search, trainer_kwargs, ExtractGenotype(str(path), picture=False))
    assert Genotype.from_dict(json.loads(path.read_text())) == search.derive()
    assert files(path.parent) == ["cell.json"]


def test_log_folder_and_tensorboard(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search, logger = darts(), TensorBoardLogger(tmp_path, "runs", 3)
    extract = ExtractGenotype()
    fit(search, trainer_kwargs, extract, logger=logger)
    assert extract.path == tmp_path / "runs" / "version_3" / "genotype.yaml"
    assert extract.path.is_file()
    assert extract.picture_path.is_file()
    found = events(extract.path.parent)
    assert found.Tags()["images"] == ["genotype"]
    text = found.Tensors("genotype/text_summary")[0].tensor_proto.string_val[0].decode()
    assert search.space.format(search.derive()) in text


@pytest.mark.parametrize("limit", [0, 1])
def test_follows_the_search_with_and_without_validation(
    tmp_path: Path, trainer_kwargs: dict[str, Any], limit: int
) -> None:
    seen: list[str] = []

    def look(_: Any) -> None:
        seen.append(Genotype.load(tmp_path / "genotype.yaml")["cell.1_0"])

    steps = [At(1, lambda search: plant(search, "nor_conv_3x3")), At(3, look)]
    steps += [At(4, lambda search: plant(search, "avg_pool_3x3"))]
    search = gdas()
    fit(search, trainer_kwargs, ExtractGenotype(picture=False), *steps, limit_val_batches=limit, max_epochs=2)
    assert seen == ["nor_conv_3x3"]
    assert Genotype.load(tmp_path / "genotype.yaml")["cell.1_0"] == "avg_pool_3x3"
    assert files(tmp_path) == ["genotype.yaml"], "its own file is replaced, not kept"


def test_rewrites_only_what_changed(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    stamps: list[int] = []
    keep = At(3, lambda _: stamps.append((tmp_path / "genotype.yaml").stat().st_ino))
    fit(darts(1), trainer_kwargs, ExtractGenotype(), At(1, lambda s: plant(s, "sep_conv_3x3")), keep, max_epochs=3)
    assert stamps == [(tmp_path / "genotype.yaml").stat().st_ino]


def test_nothing_from_the_sanity_check_or_validate(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    extract, search = ExtractGenotype(), gdas()
    at_start = At(1, lambda _: seen.extend(files(tmp_path)))
    seen: list[str] = []
    trainer = fit(search, trainer_kwargs, extract, at_start, num_sanity_val_steps=1)
    assert seen == []
    extract.path.unlink()
    trainer.validate(search, datamodule=TinyData(), verbose=False)
    assert files(tmp_path) == ["genotype.png"]


@pytest.mark.parametrize("limit", [{"max_steps": 1}, {"max_time": timedelta(milliseconds=1)}, {"early": True}])
def test_early_end_leaves_the_files(tmp_path: Path, trainer_kwargs: dict[str, Any], limit: dict[str, Any]) -> None:
    stopping = EarlyStopping("val/loss", stopping_threshold=100.0)
    more = [stopping] if limit.pop("early", False) else []
    limit = {"max_epochs": -1} | limit if not more else limit
    fit(gdas(epochs=5), trainer_kwargs, ExtractGenotype(), *more, **({"max_epochs": 5} | limit))
    assert files(tmp_path) == ["genotype.png", "genotype.yaml"]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_interrupt_leaves_the_files(tmp_path: Path, trainer_kwargs: dict[str, Any], step: int) -> None:
    def interrupt(search: Any) -> None:
        plant(search, "avg_pool_3x3")
        raise KeyboardInterrupt

    search = gdas()
    with interrupted():
        fit(search, trainer_kwargs, ExtractGenotype(), At(step, interrupt), max_epochs=2)
    assert Genotype.load(tmp_path / "genotype.yaml")["cell.3_2"] == "avg_pool_3x3"
    assert files(tmp_path) == ["genotype.png", "genotype.yaml"]


def test_broken_parameters_do_not_replace_the_last_good_genotype(
    tmp_path: Path, trainer_kwargs: dict[str, Any]
) -> None:
    def spoil(search: Any) -> None:
        for parameter in search.parameters():
            parameter.data.fill_(math.nan)

    plan = [At(1, lambda search: plant(search, "nor_conv_1x1")), At(3, spoil)]
    with pytest.raises(NonFiniteLossError):
        fit(gdas(), trainer_kwargs, ExtractGenotype(), *plan, max_epochs=3)
    assert Genotype.load(tmp_path / "genotype.yaml")["cell.1_0"] == "nor_conv_1x1"


def test_nothing_before_training(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    with pytest.raises(MisconfigurationException, match="accumulate_grad_batches"):
        fit(gdas(), trainer_kwargs, ExtractGenotype(), accumulate_grad_batches=2)
    assert files(tmp_path) == []


def test_earlier_and_edited_files_are_kept(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    (tmp_path / "genotype.yaml").write_text("mine")
    (tmp_path / "genotype.png").write_bytes(b"mine too")
    extract = ExtractGenotype()
    fit(gdas(), trainer_kwargs, extract, At(1, lambda search: plant(search, "nor_conv_1x1")))
    assert files(tmp_path) == ["genotype.png", "genotype.png.1", "genotype.yaml", "genotype.yaml.1"]
    assert (tmp_path / "genotype.yaml.1").read_text() == "mine"
    assert (tmp_path / "genotype.png.1").read_bytes() == b"mine too"
    # The same callback in a second run: what the first one found is kept.
    first = (tmp_path / "genotype.yaml").read_text()
    fit(gdas(), trainer_kwargs, extract, At(1, lambda search: plant(search, "avg_pool_3x3")))
    assert (tmp_path / "genotype.yaml.2").read_text() == first
    # The same run again, which finds the same: nothing to keep.
    fit(gdas(), trainer_kwargs, ExtractGenotype(), At(1, lambda search: plant(search, "avg_pool_3x3")))
    assert not (tmp_path / "genotype.yaml.3").exists()


def test_genotype_in_the_checkpoint_and_resume(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    extract, search = ExtractGenotype(), gdas(epochs=2)
    trainer = fit(search, trainer_kwargs, extract)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    state = torch.load(tmp_path / "one.ckpt", weights_only=True)["callbacks"][extract.state_key]
    assert Genotype.from_dict(state["genotype"]) == search.derive()
    resumed = L.Trainer(
        **trainer_kwargs, max_epochs=2, callbacks=[ExtractGenotype(), At(1, lambda s: plant(s, "none"))]
    )
    resumed.fit(gdas(epochs=2), datamodule=TinyData(), ckpt_path=tmp_path / "one.ckpt")
    assert Genotype.load(tmp_path / "genotype.yaml")["cell.1_0"] == "none"
    assert files(tmp_path) == ["genotype.png", "genotype.yaml", "one.ckpt"]


def test_refusals(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"ExtractGenotype\(filename='cell.png'\): give a name that ends in .yaml"):
        ExtractGenotype("cell.png")
    (tmp_path / "genotype.yaml").mkdir()
    with pytest.raises(MisconfigurationException, match=r"filename='genotype.yaml': .* is a folder; give another"):
        fit(gdas(), trainer_kwargs, ExtractGenotype())
    space, skeleton = NasBench201Space(), StagedSkeleton(4, 3, 1, cells_per_stage=1)
    child = NetworkTraining(space, space.sample(torch.Generator().manual_seed(0)), skeleton)
    with pytest.raises(MisconfigurationException, match=r"ExtractGenotype needs a search, .* is a NetworkTraining"):
        fit(child, trainer_kwargs, ExtractGenotype("other.yaml"))


def test_state_key_tells_instances_apart() -> None:
    assert ExtractGenotype("a.yaml").state_key != ExtractGenotype("b.yaml").state_key
