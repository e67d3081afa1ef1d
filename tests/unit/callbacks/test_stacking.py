"""`StackCells`: a config that parses, instantiates and builds, however the search ends."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.utilities import CombinedLoader
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.utils.data import DataLoader

from helpers.parsed_configs import parse
from helpers.small_fits import At, TinyData, darts, fit, gdas, interrupted, plant
from lightning_nas import CellSkeleton, Classification, NetworkTraining, StagedSkeleton
from lightning_nas.callbacks import DropPathSchedule, ExtractGenotype, StackCells
from lightning_nas.data import Bilevel, Digits

STAGED = StagedSkeleton(channels=8, classes=3, in_channels=1, cells_per_stage=2)


# Lightning's CLI calls jsonargparse in ways that jsonargparse has deprecated.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"),
]


def test_config_parses_instantiates_and_builds(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    pytest.importorskip("sklearn")
    skeleton = CellSkeleton(cells=5, channels=8, classes=10, in_channels=1)
    search = darts(task=Classification(label_smoothing=0.1))
    search.__init__(search.space, CellSkeleton(cells=2, channels=4, in_channels=1), search.task)
    data = Bilevel(Digits(batch_size=64, validation=0.5))
    fit(search, trainer_kwargs, StackCells(skeleton, epochs=7, drop_path=0.3), data=data, limit_train_batches=1)
    text = (tmp_path / "retrain.yaml").read_text()
    assert text.startswith("# The network that DartsSearch found.")
    assert f"#   lightning-nas fit --config {tmp_path / 'retrain.yaml'}" in text
    cli = parse(tmp_path / "retrain.yaml")
    model = cli.model
    assert isinstance(model, NetworkTraining)
    assert model.genotype == search.derive()
    assert model.skeleton == skeleton
    assert model.task.label_smoothing == 0.1
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    assert isinstance(cli.datamodule, Digits)
    assert cli.datamodule.config() == data.datamodule.config()
    assert cli.trainer.max_epochs == 7
    assert [c.probability for c in cli.trainer.callbacks if isinstance(c, DropPathSchedule)] == [0.3]
    assert cli.config.seed_everything == 0


def test_the_config_trains(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = gdas()
    fit(search, trainer_kwargs, StackCells(STAGED, epochs=1))
    cli = parse(tmp_path / "retrain.yaml")
    assert type(cli.datamodule).__name__ == "TinyData"
    assert cli.datamodule.hparams.classes == 3
    trainer = L.Trainer(**trainer_kwargs, max_epochs=1, callbacks=[DropPathSchedule()])
    trainer.fit(cli.model, DataLoader(TinyData().data, 4), DataLoader(TinyData().data, 4))
    assert trainer.global_step == 2


def test_order_of_callbacks_does_not_matter(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = gdas()
    fit(search, trainer_kwargs, StackCells(STAGED, filename="a.yaml"), ExtractGenotype(), StackCells(STAGED))
    first, second = ((tmp_path / name).read_text() for name in ("a.yaml", "retrain.yaml"))
    assert first == second.replace("retrain.yaml", "a.yaml")
    assert yaml.safe_load(first)["model"]["init_args"]["genotype"] == search.derive().to_dict()


@pytest.mark.parametrize("limit", [{"max_steps": 1}, {"max_time": timedelta(milliseconds=1)}])
def test_early_end_leaves_the_config(tmp_path: Path, trainer_kwargs: dict[str, Any], limit: dict[str, Any]) -> None:
    fit(gdas(epochs=3), trainer_kwargs, StackCells(STAGED), **({"max_epochs": -1} | limit))
    assert isinstance(parse(tmp_path / "retrain.yaml").model, NetworkTraining)


def test_interrupt_leaves_the_config(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    def interrupt(search: Any) -> None:
        plant(search, "avg_pool_3x3")
        raise KeyboardInterrupt

    with interrupted():
        fit(gdas(), trainer_kwargs, StackCells(STAGED), At(2, interrupt))
    assert parse(tmp_path / "retrain.yaml").model.genotype["cell.1_0"] == "avg_pool_3x3"


def test_nothing_before_training_and_nothing_from_broken_parameters(
    tmp_path: Path, trainer_kwargs: dict[str, Any]
) -> None:
    with pytest.raises(MisconfigurationException, match="accumulate_grad_batches"):
        fit(gdas(), trainer_kwargs, StackCells(STAGED), accumulate_grad_batches=2)

    def spoil(search: Any) -> None:
        search.architecture["cell"]["alpha"].data.fill_(float("nan"))
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fit(gdas(), trainer_kwargs, StackCells(STAGED), At(1, spoil))
    assert list(tmp_path.iterdir()) == []


def test_earlier_and_edited_files_are_kept(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    (tmp_path / "retrain.yaml").write_text("mine")
    fit(gdas(), trainer_kwargs, StackCells(STAGED))
    assert (tmp_path / "retrain.yaml.1").read_text() == "mine"
    assert "NetworkTraining" in (tmp_path / "retrain.yaml").read_text()


TEMPLATE = """
seed_everything: 5
model:
  class_path: NetworkTraining
  init_args:
    space: {class_path: DartsSpace}
    genotype: none-yet.yaml
    skeleton: {class_path: StagedSkeleton, init_args: {channels: 12, classes: 10, in_channels: 1}}
    clip: 1.0
data: {class_path: Digits, init_args: {batch_size: 16}}
trainer:
  max_epochs: 3
  callbacks:
    - {class_path: DropPathSchedule, init_args: {probability: 0.1}}
"""


def test_template_wins_and_is_filled_in(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    pytest.importorskip("sklearn")
    template = tmp_path / "template.yaml"
    template.write_text(TEMPLATE)
    search = gdas()  # of other classes: the template brings its own data
    stack = StackCells(retrain=str(template), epochs=50, drop_path=0.5)
    fit(search, trainer_kwargs, stack)
    cli = parse(tmp_path / "retrain.yaml")
    assert cli.model.genotype == search.derive()
    assert cli.model.clip == 1.0
    assert cli.model.skeleton == StagedSkeleton(channels=12, classes=10, in_channels=1)
    assert (cli.trainer.max_epochs, cli.config.seed_everything, cli.datamodule.batch_size) == (3, 5, 16)
    assert [c.probability for c in cli.trainer.callbacks if isinstance(c, DropPathSchedule)] == [0.1]
    assert template.read_text() == TEMPLATE
    own = StagedSkeleton(channels=16, classes=10, in_channels=1)
    fit(gdas(), trainer_kwargs, StackCells(own, str(template), "own.yaml"))
    assert parse(tmp_path / "own.yaml").model.skeleton == own


def test_a_sparse_template_takes_the_defaults(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("model: {class_path: lightning_nas.NetworkTraining}\ntrainer: {precision: 32-true}")
    fit(gdas(), trainer_kwargs, StackCells(STAGED, str(template), epochs=9))
    config = yaml.safe_load((tmp_path / "retrain.yaml").read_text())
    assert config["trainer"]["max_epochs"] == 9
    assert config["trainer"]["precision"] == "32-true"
    assert config["data"]["init_args"] == {"classes": 3}


def test_data_that_cannot_be_told_is_left_out_with_a_remedy(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    class Local(L.LightningDataModule):
        def train_dataloader(self) -> CombinedLoader:
            return TinyData().train_dataloader()

        def val_dataloader(self) -> Any:
            return TinyData().val_dataloader()

    with pytest.warns(UserWarning, match="has no `data`: .* Add it to the file, or derive the data module from"):
        fit(gdas(), trainer_kwargs, StackCells(STAGED), data=Local())
    text = (tmp_path / "retrain.yaml").read_text()
    assert "# Give the data too" in text
    assert "data" not in yaml.safe_load(text)
    (tmp_path / "retrain.yaml").write_text(text + "data: {class_path: helpers.small_fits.TinyData}\n")
    assert type(parse(tmp_path / "retrain.yaml").datamodule).__name__ == "TinyData"


def test_refusals_in_the_constructor(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    cases = {
        r"epochs=0\): give at least 1": lambda: StackCells(STAGED, epochs=0),
        r"drop_path=1.0\): give a number in \[0, 1\)": lambda: StackCells(STAGED, drop_path=1.0),
        r"filename='a.json'\): give a name that ends in .yaml": lambda: StackCells(STAGED, filename="a.json"),
        r"skeleton=None\): give a skeleton": lambda: StackCells(),
        r"retrain='none.yaml'\): no such file": lambda: StackCells(STAGED, "none.yaml"),
        "is no fit config: expected `model` with a class_path": lambda: StackCells(STAGED, str(path)),
    }
    path.write_text("trainer: {max_epochs: 3}")
    for message, build in cases.items():
        with pytest.raises(ValueError, match=message):
            build()
    path.write_text("model: [")
    with pytest.raises(ValueError, match="cannot be read as YAML"):
        StackCells(STAGED, str(path))


def test_refusals_before_the_search(trainer_kwargs: dict[str, Any]) -> None:
    cases = {
        r"3 classes, but the skeleton has classes=10: set classes=3": StagedSkeleton(in_channels=1),
        "in_channels=3, but the data of the search has 1 channels: set in_channels=1": StagedSkeleton(classes=3),
        "NasBench201Space builds on a StagedSkeleton, not on a CellSkeleton": CellSkeleton(classes=3, in_channels=1),
    }
    for message, skeleton in cases.items():
        with pytest.raises(MisconfigurationException, match=message):
            fit(gdas(), trainer_kwargs, StackCells(skeleton))
