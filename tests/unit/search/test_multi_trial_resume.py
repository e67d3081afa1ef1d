"""Exact resume of the search of children one by one, its logs, and outer precisions that do not reach them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from helpers.known_children import KnownChildren, read_trials, run
from helpers.small_fits import events
from lightning_nas import (
    Evaluator,
    Fidelity,
    LogitsController,
    LstmController,
    MultiTrialSearch,
    Ppo,
    RegularizedEvolution,
    Reinforce,
    Sampler,
    SuccessiveHalving,
    UniformSampler,
)
from lightning_nas.evaluators import Job
from lightning_nas.spaces import ConvChainSpace, NasBench201Space
from lightning_nas.testing import BoringSpace
from lightning_nas.training.optimizer import Adam
from lightning_nas.trials.trial import Evaluation

FAST = Adam(lr=0.1, betas=(0.9, 0.999), weight_decay=0.0)
RUNGS = (Fidelity(epochs=1), Fidelity(epochs=2))
SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "logits": lambda: LogitsController(NasBench201Space(), Ppo(), FAST),
    "lstm": lambda: LstmController(ConvChainSpace(depths=(1, 3)), hidden=4, optimizer=FAST),
    "evolution": lambda: RegularizedEvolution(NasBench201Space(), 3, 2),
    "halving": lambda: SuccessiveHalving(LogitsController(NasBench201Space(), Reinforce(), FAST), RUNGS, keep=0.5),
}
SAVING = pytest.mark.filterwarnings(
    "ignore:Using ModelCheckpoint with manual",
    "ignore:You're resuming from a checkpoint that",
    "ignore:The dirpath has changed",
)


@SAVING
@pytest.mark.parametrize("lost", [False, True], ids=["file kept", "file lost"])
@pytest.mark.parametrize("kind", SAMPLERS)
def test_resume_is_exact(kind: str, lost: bool, trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    """Killed behind each trial, in the middle of a round and at its end."""

    def start(folder: Path, resume: Path | None, children: KnownChildren) -> MultiTrialSearch:
        L.seed_everything(3, verbose=False)
        save = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
        outer = {"t_default_root_dir": folder, "t_enable_checkpointing": True, "t_callbacks": [save]}
        return run(SAMPLERS[kind](), children, trainer_kwargs, resume, trials=9, round_size=3, **outer)

    whole = start(tmp_path / "whole", None, KnownChildren([4]))
    expected, trials = whole.state_dict(), {trial.id: trial for trial in read_trials(tmp_path / "whole")}
    lines = (tmp_path / "whole" / "trials.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "whole" / "trials.jsonl").unlink()  # the checkpoints know where it was
    for step in range(1, 9):
        killed, children = tmp_path / f"killed {step}", KnownChildren([4])
        shutil.copytree(tmp_path / "whole", killed)
        known = step if not lost else step // 3 * 3 - 1 if step >= 3 else 0  # also the last trial of a told round
        (killed / "trials.jsonl").write_text("".join(lines[:known]))
        found = start(killed, killed / f"step={step}.ckpt", children)
        begun = step // 3 * 3  # trials of a round that was told are not needed again
        assert sorted(children.calls) == list(range(max(known, begun), 9)), step
        assert found.state_dict().keys() == expected.keys()
        for key, value in expected.items():
            assert torch.equal(found.state_dict()[key], value), (step, key)
        assert found.best == whole.best
        assert found.spent == pytest.approx(whole.spent, abs=0.1)  # a failed child has taken real time
        assert found.trainer.global_step == 9
        rewards = {number: trial.reward for number, trial in trials.items() if number < known or number >= begun}
        assert {trial.id: trial.reward for trial in read_trials(killed)} == rewards


@SAVING
def test_a_new_folder_takes_the_old_trials(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    def start(version: int, resume: Path | None) -> tuple[KnownChildren, MultiTrialSearch]:
        children, logger = KnownChildren(), TensorBoardLogger(tmp_path, "log", version)
        save = ModelCheckpoint(tmp_path / f"saved {version}", "{step}", every_n_train_steps=1, save_top_k=-1)
        outer = {"t_logger": logger, "t_enable_checkpointing": True, "t_callbacks": [save]}
        search = run(UniformSampler(BoringSpace()), children, trainer_kwargs, resume, trials=5, **outer)
        return children, search

    start(0, None)
    children, search = start(1, tmp_path / "saved 0" / "step=2.ckpt")
    assert children.calls == [], "the earlier run has finished all of them"
    assert search.runner.file.path == tmp_path / "log" / "version_1" / "trials.jsonl"
    assert read_trials(tmp_path / "log" / "version_1") == read_trials(tmp_path / "log" / "version_0")


# --- logs -----------------------------------------------------------------------------------------------------------


def test_every_trial_is_logged(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, "log", 0)
    sampler = LogitsController(NasBench201Space(), optimizer=FAST)
    search = run(sampler, KnownChildren([3]), trainer_kwargs, t_logger=logger, trials=8, round_size=2)
    logger.finalize("success")
    found, trials = events(tmp_path / "log" / "version_0"), read_trials(tmp_path / "log" / "version_0")

    def scalars(name: str) -> dict[int, float]:
        scalars = found.Scalars(f"search/{name}")
        assert len({event.step for event in scalars}) == len(scalars)
        return {event.step: event.value for event in scalars}

    assert scalars("reward") == pytest.approx({t.id: t.reward for t in trials if t.reward is not None})
    assert scalars("seconds") == pytest.approx({t.id: t.seconds for t in trials})
    assert scalars("failed") == {trial.id: float(trial.id == 3) for trial in trials}
    best = [max(t.reward or 0.0 for t in trials[: index + 1]) for index in range(8)]
    assert scalars("best") == pytest.approx(dict(enumerate(best)))
    entropy, baseline = scalars("entropy"), scalars("baseline")
    assert list(entropy) == list(baseline) == list(range(8))
    assert entropy[0] == pytest.approx(6 * torch.tensor(5.0).log().item(), rel=1e-3)
    assert entropy[6] < entropy[0]
    assert baseline[7] == pytest.approx(sampler.baseline)
    assert {"search/reward", "search/best"} <= search.trainer.callback_metrics.keys(), "a ModelCheckpoint's monitor"


# --- precision ------------------------------------------------------------------------------------------------------


class Surroundings(Evaluator):
    """Keeps what a child would be trained in."""

    def __init__(self) -> None:
        self.seen: set[tuple[Any, ...]] = set()

    def evaluate(self, job: Job) -> Evaluation:
        result = torch.nn.Linear(2, 2)(torch.ones(1, 2))
        autocast, default = torch.is_autocast_enabled("cpu"), torch.get_default_dtype()
        self.seen.add((autocast, default, result.dtype, result.requires_grad, result.is_inference()))
        return Evaluation({"val/accuracy": 0.5})


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true", "64-true"])
def test_the_outer_precision_stays_outside(precision: str, trainer_kwargs: dict[str, Any]) -> None:
    for kind in ("logits", "lstm", "evolution"):
        children, outer = Surroundings(), {"t_precision": precision, "filename": f"{kind}.jsonl"}
        search = run(SAMPLERS[kind](), children, trainer_kwargs, trials=4, round_size=2, **outer)
        assert children.seen == {(False, torch.float32, torch.float32, True, False)}
        assert all(bool(parameter.isfinite().all()) for parameter in search.parameters())
    assert torch.get_default_dtype() == torch.float32
