"""What is logged each step is, at all times, what Lightning's `log` would have given."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, ProgressBar
from lightning.pytorch.loggers import CSVLogger

from lightning_nas import Derivation, GdasSearch, LogitsController, NetworkTraining, WeightSharingSearch
from lightning_nas.data import Bilevel, Digits, Phased
from lightning_nas.testing import BoringSkeleton, BoringSpace
from lightning_nas.training import module as step_log

SKELETON = BoringSkeleton(channels=4, in_channels=1)
SPACE = BoringSpace()


def gdas(**settings: Any) -> tuple[L.LightningModule, L.LightningDataModule]:
    return GdasSearch(SPACE, SKELETON, **settings), Bilevel(Digits(batch_size=64))


def sharing() -> tuple[L.LightningModule, L.LightningDataModule]:
    search = WeightSharingSearch(LogitsController(SPACE), SKELETON, Derivation(2, round_size=2), round_size=2)
    return search, Phased(Digits(batch_size=64), sampler_steps=3, weight_steps=7)


def training() -> tuple[L.LightningModule, L.LightningDataModule]:
    genotype = SPACE.sample(torch.Generator().manual_seed(1))
    return NetworkTraining(SPACE, genotype, SKELETON), Digits(batch_size=128)


class Bar(ProgressBar):
    """A progress bar that only remembers what it would show."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[dict[str, Any]] = []

    def disable(self) -> None: ...

    def enable(self) -> None: ...

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.shown.append(self.get_metrics(trainer, pl_module))


class Reader(L.Callback):
    """Reads the metrics in every hook in which users do."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.seen: list[tuple[str, dict[str, float]]] = []
        self.stop_at = stop_at

    def read(self, hook: str, trainer: L.Trainer) -> None:
        for kind in ("callback_metrics", "logged_metrics"):
            self.seen.append((hook, {name: float(value) for name, value in getattr(trainer, kind).items()}))

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self.read("batch start", trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.read("batch end", trainer)
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.stop_at

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.read("validation", trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.read("epoch", trainer)


def rows(folder: Path) -> list[dict[str, str]]:
    with next(folder.rglob("metrics.csv")).open() as file:
        return list(csv.DictReader(file))


def run(
    make: Callable[[], tuple[L.LightningModule, L.LightningDataModule]],
    kwargs: dict[str, Any],
    folder: Path,
    stop_at: int | None,
    **settings: Any,
) -> dict[str, Any]:
    L.seed_everything(0, verbose=False)
    reader, bar = Reader(stop_at), Bar()
    best = ModelCheckpoint(folder / "best", filename="{epoch}-{step}", monitor="train/loss")
    patience = EarlyStopping("train/loss", patience=1, check_on_train_epoch_end=True)
    usual = {"max_epochs": 3, "limit_train_batches": 7, "limit_val_batches": 1, "log_every_n_steps": 3}
    settings = {**kwargs, **usual, "enable_checkpointing": True, "enable_progress_bar": True, **settings}
    settings["callbacks"] = [reader, bar, best, patience]
    trainer = L.Trainer(**settings, logger=CSVLogger(folder, "log", 0))
    module, data = make()
    trainer.fit(module, data)
    after = {name: float(value) for name, value in trainer.callback_metrics.items()}
    scores = (Path(best.best_model_path).name, float(best.best_model_score or -1), patience.stopped_epoch)
    return {"rows": rows(folder), "seen": reader.seen, "shown": bar.shown, "after": after, "monitors": scores}


class Seldom(L.LightningModule):
    """Logs in some batches only: in the first epoch from the first batch, later in the second and third alone."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss: torch.Tensor = (self.weight - 1.0) ** 2
        if self.current_epoch == 0 or batch_idx in (1, 2):
            step_log.log_step(self, "train/loss", loss, 1, prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


@pytest.mark.parametrize(
    ("make", "stop_at", "settings"),
    [
        pytest.param(gdas, None, {}, id="search"),
        pytest.param(gdas, 10, {}, id="stopped in an epoch"),
        pytest.param(gdas, None, {"val_check_interval": 3}, id="validated in an epoch"),
        pytest.param(gdas, None, {"max_epochs": -1, "max_steps": 11}, id="a number of steps"),
        pytest.param(lambda: gdas(warmup_epochs=1), None, {}, id="warm-up"),
        pytest.param(gdas, None, {"precision": "bf16-mixed"}, id="bfloat16"),
        pytest.param(sharing, None, {}, id="shared weights"),
        pytest.param(lambda: (Seldom(), Digits(batch_size=64)), None, {}, id="in some batches"),
        pytest.param(training, None, {"accumulate_grad_batches": 2}, id="final training"),
    ],
)
def test_it_is_what_log_gives(
    make: Any,
    stop_at: int | None,
    settings: dict[str, Any],
    trainer_kwargs: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if settings.get("max_steps"):
        make = lambda: gdas(epochs=2)  # noqa: E731
    trainer_kwargs.pop("logger")
    if make is sharing:
        settings = {**settings, "limit_train_batches": None}
    found = run(make, trainer_kwargs, tmp_path / "found", stop_at, **settings)
    monkeypatch.setattr(step_log, "HOOK", "a hook that does not exist")  # nothing is found: every call through `log`
    expected = run(make, trainer_kwargs, tmp_path / "expected", stop_at, **settings)
    assert any(row.get("train/loss") for row in expected["rows"])
    assert len({shown["train/loss"] for shown in expected["shown"]}) > 5, "it changes with each step"
    for name, value in expected.items():
        assert found[name] == value, name


def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that go through Lightning's `log` from now on."""
    made: list[str] = []
    log = L.LightningModule.log

    def counted(module: L.LightningModule, name: str, *args: Any, **kwargs: Any) -> None:
        made.append(name)
        log(module, name, *args, **kwargs)

    monkeypatch.setattr(L.LightningModule, "log", counted)
    return made


@pytest.mark.parametrize("make", [gdas, training])
def test_log_is_called_once_an_epoch(
    make: Any, trainer_kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = calls(monkeypatch)
    L.Trainer(**trainer_kwargs, max_epochs=2, limit_train_batches=4, limit_val_batches=0).fit(*make())
    assert made.count("train/loss") == 2
    assert made.count("search/arch_loss") == (2 if make is gdas else 0)


def test_another_lightning_gets_every_call(trainer_kwargs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One without the names that are used here costs time, not values."""
    monkeypatch.setattr(step_log, "HOOK", "a hook that does not exist")
    made = calls(monkeypatch)
    trainer = L.Trainer(**trainer_kwargs, max_epochs=1, limit_train_batches=4, limit_val_batches=0)
    trainer.fit(*training())
    assert made.count("train/loss") == 4
    assert float(trainer.callback_metrics["train/loss"]) > 0


def test_what_is_kept_has_no_graph(trainer_kwargs: dict[str, Any]) -> None:
    """A loss with its graph would keep all activations until the next step."""
    kept: list[bool] = []

    class Look(L.Callback):
        def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
            kept.append(trainer._results["training_step.train/loss"].value.requires_grad)

    settings = {"max_epochs": 1, "limit_train_batches": 3, "limit_val_batches": 0, "callbacks": [Look()]}
    L.Trainer(**trainer_kwargs, **settings).fit(*training())
    assert kept == [False] * 3


def test_without_a_bar_nothing_is_brought_to_the_host_for_it(trainer_kwargs: dict[str, Any]) -> None:
    trainer = L.Trainer(**trainer_kwargs, max_epochs=1, limit_train_batches=2, limit_val_batches=0)
    trainer.fit(*gdas())
    assert trainer.progress_bar_metrics == {}
    assert "train/loss" in trainer.callback_metrics


def test_a_step_outside_a_trainer_warns_as_log_does() -> None:
    with pytest.warns(UserWarning, match=r"self\.trainer"):
        step_log.log_step(gdas()[0], "train/loss", torch.tensor(1.0), 1)
