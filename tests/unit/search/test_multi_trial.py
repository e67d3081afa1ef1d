"""The search of children one by one: refusals, failures, interruptions, and runs that are started again."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor
from torch.utils.data import DataLoader

from helpers.known_children import KnownChildren, read_trials, run
from lightning_nas import Fidelity, MetricReward, MultiTrialSearch, RegularizedEvolution, UniformSampler
from lightning_nas.search import TooManyFailuresError
from lightning_nas.spaces import NasBench201Space
from lightning_nas.testing import BoringData, BoringSpace
from lightning_nas.trials.trial import Trial

SPACE = BoringSpace()


class Listener(UniformSampler):
    """Keeps what it is told."""

    def tell(self, trials: Sequence[Trial]) -> None:
        super().tell(trials)
        self.__dict__.setdefault("heard", []).extend((trial.id, trial.reward) for trial in trials)

    def losses(self, trials: Sequence[Trial]) -> Iterator[Tensor]:
        assert [trial.id for trial in trials] == list(range(self.told, self.told + len(trials)))
        return super().losses(trials)


@pytest.fixture
def sigint() -> Iterator[None]:
    """Lightning leaves SIGINT ignored behind a KeyboardInterrupt."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


# --- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trials": 0}, r"MultiTrialSearch\(trials=0\): give an integer of at least 1"),
        ({"round_size": 0}, r"MultiTrialSearch\(round_size=0\): give an integer of at least 1"),
        ({"max_failures": 0}, r"MultiTrialSearch\(max_failures=0\): give an integer of at least 1"),
        ({"trials": 10, "round_size": 4}, r"trials=10, round_size=4\): trials must be whole rounds: give 12 or 8\."),
        ({"trials": 3, "round_size": 4}, r"trials=3, round_size=4\): trials must be whole rounds: give 4\."),
        ({"max_seconds": 0}, r"MultiTrialSearch\(max_seconds=0\): give a positive number, or None"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MultiTrialSearch(UniformSampler(SPACE), KnownChildren(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"gradient_clip_val": 1.0}, r"gradient_clip_val=1.0\) does not reach the children, .* as in FitEvaluator\("),
        ({"accumulate_grad_batches": 2}, r"accumulate_grad_batches=2\) does not reach the children, which have train"),
        (
            {"plugins": MixedPrecision("16-mixed", "cpu")},
            r"precision='16-mixed'\) would need a loss scaler .* use 'bf16-mixed'",
        ),
    ],
)
def test_trainers_that_would_mislead(arguments: dict[str, Any], message: str, trainer_kwargs: dict[str, Any]) -> None:
    children = KnownChildren()
    with pytest.raises(MisconfigurationException, match=message):
        run(UniformSampler(SPACE), children, trainer_kwargs | arguments, trials=2)
    assert children.calls == []


@pytest.mark.filterwarnings("ignore:You passed in a `val_dataloader` but have no `validation_step`")
def test_data_of_the_outer_fit_is_refused(trainer_kwargs: dict[str, Any]) -> None:
    search = MultiTrialSearch(UniformSampler(SPACE), KnownChildren(), trials=2)
    with pytest.raises(MisconfigurationException, match=r"makes its own batches.*call fit without a datamodule, and"):
        L.Trainer(**trainer_kwargs, max_epochs=1).fit(search, datamodule=BoringData())
    loader = DataLoader(range(2))  # type: ignore[arg-type]
    with pytest.raises(MisconfigurationException, match=r"makes its own batches.*call fit without dataloaders, and"):
        L.Trainer(**trainer_kwargs, max_epochs=1).fit(search, loader)


def test_no_trials_before_the_fit() -> None:
    search = MultiTrialSearch(UniformSampler(SPACE), KnownChildren())
    with pytest.raises(RuntimeError, match=r"MultiTrialSearch has no trials before Trainer\.fit"):
        assert search.runner
    assert search.derive() == search.derive()


# --- failures -------------------------------------------------------------------------------------------------------


def test_failed_children_are_kept_but_have_no_reward(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    sampler = Listener(SPACE)
    search = run(sampler, KnownChildren([1, 2]), trainer_kwargs, trials=6, round_size=3)
    trials = read_trials(tmp_path)
    assert [trial.status for trial in trials] == ["complete", "failed", "failed", *["complete"] * 3]
    assert [trial.reason for trial in trials[:3]] == ["", "RuntimeError: broken by µ1", "RuntimeError: broken by µ0"]
    assert [trial.reward is None for trial in trials] == [trial.status == "failed" for trial in trials]
    assert sampler.__dict__["heard"] == [(trial.id, trial.reward) for trial in trials]
    best = max((trial for trial in trials if trial.reward is not None), key=lambda trial: trial.reward or 0.0)
    assert search.best == best
    assert search.derive() == best.genotype


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_rewards_that_no_sampler_can_learn_from(
    value: float, trainer_kwargs: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MetricReward, "__call__", lambda self, evaluation: value)
    run(UniformSampler(SPACE), KnownChildren(), trainer_kwargs, trials=2)
    assert [(t.status, t.reward) for t in read_trials(tmp_path)] == [("failed", None)] * 2
    assert read_trials(tmp_path)[0].reason == f"The reward is {value}, no finite number."


def test_many_failures_in_a_row_stop_the_search(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    children = KnownChildren([0, 1, 3, 4, 5])
    message = r"The last 3 children have failed: RuntimeError: broken by µ1; RuntimeError: broken by µ0\. .*\.jsonl has"
    with pytest.raises(TooManyFailuresError, match=message):
        run(UniformSampler(SPACE), children, trainer_kwargs, trials=9, max_failures=3)
    assert children.calls == list(range(6)), "a success in between begins anew"
    assert len(read_trials(tmp_path)) == 6


def test_once_the_cause_is_removed_the_search_goes_on(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(TooManyFailuresError, match="start the search again: it goes on"):
        run(UniformSampler(SPACE), KnownChildren(list(range(9))), trainer_kwargs, trials=8, max_failures=3)
    children = KnownChildren()
    run(UniformSampler(SPACE), children, trainer_kwargs, trials=8, max_failures=3)
    assert children.calls == [3, 4, 5, 6, 7]


@pytest.mark.usefixtures("sigint")
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interruptions_stop_at_once(error: type[BaseException], trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    children = KnownChildren()
    children.stops = {4: error}
    with pytest.raises(SystemExit):  # what Lightning makes of both
        run(UniformSampler(SPACE), children, trainer_kwargs, trials=9, round_size=3)
    assert children.calls == list(range(5))
    assert [trial.id for trial in read_trials(tmp_path)] == [0, 1, 2, 3]


# --- the same search again ------------------------------------------------------------------------------------------


def test_a_second_run_evaluates_nothing_again(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    def start(children: KnownChildren) -> MultiTrialSearch:
        return run(RegularizedEvolution(SPACE, 3, 2), children, trainer_kwargs, trials=8, round_size=2)

    first, again = start(KnownChildren([3])), KnownChildren()
    content = (tmp_path / "trials.jsonl").read_bytes()
    second = start(again)
    assert again.calls == []
    assert (tmp_path / "trials.jsonl").read_bytes() == content
    assert (first.best, first.spent) == (second.best, second.spent)
    lines = content.splitlines(keepends=True)
    (tmp_path / "trials.jsonl").write_bytes(b"".join(lines[:5]) + lines[5][:40])  # as a kill leaves it
    third = KnownChildren()
    start(third)
    assert third.calls == [5, 6, 7]
    assert (tmp_path / "trials.jsonl").read_bytes() == content


def test_trials_of_another_search_are_refused(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    run(UniformSampler(SPACE), KnownChildren(), trainer_kwargs, trials=2)
    message = r"trials\.jsonl holds another trial 0 than this search would make: it is of a search with other settings"
    with pytest.raises(MisconfigurationException, match=message):
        run(UniformSampler(SPACE, Fidelity(epochs=3)), KnownChildren(), trainer_kwargs, trials=2)
    with pytest.raises(MisconfigurationException, match=message):
        run(UniformSampler(NasBench201Space()), KnownChildren(), trainer_kwargs, trials=2)
    L.seed_everything(1, verbose=False)
    with pytest.raises(MisconfigurationException, match=r"another seed\. Give another folder or filename, or move the"):
        run(UniformSampler(SPACE), KnownChildren(), trainer_kwargs, trials=2)
    run(UniformSampler(SPACE), KnownChildren(), trainer_kwargs, trials=2, filename="others/t.jsonl")
    assert (tmp_path / "others" / "t.jsonl").is_file()


def test_a_bound_on_the_cost(trainer_kwargs: dict[str, Any]) -> None:
    children = KnownChildren()
    search = run(UniformSampler(SPACE), children, trainer_kwargs, trials=12, round_size=2, max_seconds=4.5)
    assert (len(children.calls), search.spent) == (6, 6.0), "the round in which it is reached is finished"


@pytest.mark.filterwarnings("ignore:`max_epochs` was not set")
def test_a_trainer_without_a_length_runs_the_trials_once(trainer_kwargs: dict[str, Any]) -> None:
    evaluator = KnownChildren()
    run(UniformSampler(SPACE), evaluator, trainer_kwargs, trials=3, t_max_epochs=None)
    assert evaluator.calls == [0, 1, 2]
    longer = KnownChildren()
    other = trainer_kwargs["default_root_dir"] / "longer"
    run(UniformSampler(SPACE), longer, trainer_kwargs, trials=2, t_max_epochs=2, t_default_root_dir=other)
    assert longer.calls == [0, 1, 2, 3], "a length that is given is kept"
