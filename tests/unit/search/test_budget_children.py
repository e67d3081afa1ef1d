"""Children over a limit: refused before they are trained, and what samplers make of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from helpers.budgets import Counted, everything
from helpers.known_children import KnownChildren, read_trials, run
from lightning_nas import (
    Adam,
    Budget,
    Fidelity,
    LogitsController,
    MultiTrialSearch,
    NothingFitsError,
    Proposal,
    RandomSearch,
    RegularizedEvolution,
    Sampler,
    SuccessiveHalving,
    TooManyFailuresError,
    Trial,
    UniformSampler,
    WeightedSum,
)
from lightning_nas.callbacks import ExtractGenotype, TrialMonitor
from lightning_nas.costs.budget import Costing
from lightning_nas.search.trial_runner import Progress
from lightning_nas.spaces import ChainSkeleton, ConvChainSpace
from lightning_nas.testing import BoringSkeleton, BoringSpace

SPACE, SKELETON = BoringSpace(), BoringSkeleton()
SIZES = sorted({Costing(Budget(), SPACE, SKELETON).figure("params", genotype) for genotype in everything(SPACE)})
MIDDLE = SIZES[1]  # at most one convolution: 20 of the 27 networks
BUDGET = Budget(max_params=MIDDLE)


def run_small(sampler: Sampler, trainer_kwargs: dict[str, Any], **settings: Any) -> MultiTrialSearch:
    """A search of known children, from seed 0."""
    L.seed_everything(0, verbose=False)
    return run(sampler, KnownChildren(), trainer_kwargs, skeleton=SKELETON, **settings)


def test_children_over_a_limit_are_refused(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    children = KnownChildren()
    L.seed_everything(0, verbose=False)
    search = run(UniformSampler(SPACE), children, trainer_kwargs, trials=30, budget=BUDGET, skeleton=SKELETON)
    trials = read_trials(Path(search.runner.file.path).parent)
    refused = [trial for trial in trials if trial.status == "refused"]
    assert len(trials) == 30
    assert 3 < len(refused) < 20
    assert children.calls == [trial.id for trial in trials if trial.status == "complete"]
    for trial in trials:
        assert set(trial.metrics) >= {"params", "macs"}
        assert (trial.metrics["params"] > MIDDLE) == (trial.status == "refused")
    for trial in refused:
        assert (trial.reward, trial.seconds, "val/accuracy" in trial.metrics) == (None, 0.0, False)
        over = trial.metrics["params"] - MIDDLE
        assert trial.reason.startswith(f"params {trial.metrics['params']:,.0f} is {over:,.0f} (")
        assert trial.reason.endswith(f"more than max_params={MIDDLE:,.0f}")
    assert search.best is not None
    assert search.best.metrics["params"] <= MIDDLE
    assert search.spent == 30 - len(refused)


def test_limits_are_those_of_the_final_network(trainer_kwargs: dict[str, Any]) -> None:
    """Children of 4 channels are trained; the limit is on networks of 8."""
    final = BoringSkeleton(channels=8)
    sizes = [Costing(None, SPACE, final, BUDGET.costs).figure("params", genotype) for genotype in everything(SPACE)]
    budget = Budget(skeleton=final, max_params=sorted(sizes)[0])
    L.seed_everything(0, verbose=False)
    search = run(UniformSampler(SPACE), KnownChildren(), trainer_kwargs, trials=20, budget=budget, skeleton=SKELETON)
    assert search.best is not None
    assert search.best.metrics["params"] == min(sizes)
    assert not any("conv" in option for _, option in search.derive())


def test_refused_children_are_no_failures(trainer_kwargs: dict[str, Any]) -> None:
    """More of them in a row than failures are allowed; failures around them still count as in a row."""
    budget = Budget(costs=[], max_params=SIZES[0])  # 8 of 27 networks
    L.seed_everything(0, verbose=False)
    search = run(
        UniformSampler(SPACE),
        KnownChildren(),
        trainer_kwargs,
        trials=30,
        max_failures=1,
        budget=budget,
        skeleton=SKELETON,
    )
    statuses = [trial.status for trial in search.runner.known.values()]
    assert "complete" in statuses
    assert statuses.count("refused") > 10


def test_failures_around_a_refused_child_are_in_a_row() -> None:
    genotype = SPACE.sample(torch.Generator().manual_seed(0))
    statuses = ("failed", "refused", "failed")
    progress = Progress(max_failures=2)
    for number, status in enumerate(statuses):
        progress.note(
            Trial(number, Proposal(genotype), 0, status, None, 0.0, {}, reason=f"reason {number}"), again=False
        )
    assert progress.failures == ["reason 0", "reason 2"]
    with pytest.raises(TooManyFailuresError, match="The last 2 children have failed: reason 0; reason 2"):
        progress.check_failures("trials.jsonl")


def test_costs_are_part_of_rewards(trainer_kwargs: dict[str, Any]) -> None:
    reward = WeightedSum({"params": 1.0})
    L.seed_everything(0, verbose=False)
    search = run(
        UniformSampler(SPACE),
        KnownChildren(),
        trainer_kwargs,
        trials=20,
        budget=Budget(),
        skeleton=SKELETON,
        reward=reward,
    )
    for trial in search.runner.known.values():
        assert trial.reward == trial.metrics["val/accuracy"] - trial.metrics["params"]
    assert search.best is not None
    assert search.best.metrics["params"] == min(trial.metrics["params"] for trial in search.runner.known.values())


def test_a_reward_without_its_cost_says_what_to_do(trainer_kwargs: dict[str, Any]) -> None:
    with pytest.raises(
        RuntimeError, match=r"WeightedSum needs the cost 'params', .* budget=Budget\(costs=\[\.\.\.\]\)"
    ):
        run(UniformSampler(SPACE), KnownChildren(), trainer_kwargs, trials=9, reward=WeightedSum({"params": 1.0}))


# --- nothing fits ---------------------------------------------------------------------------------------------------


def test_limits_that_nothing_keeps_are_refused_before_the_search(trainer_kwargs: dict[str, Any]) -> None:
    children = KnownChildren()
    with pytest.raises(
        MisconfigurationException, match=r"Budget\(max_params=10\): the smallest network of BoringSpace"
    ):
        run(UniformSampler(SPACE), children, trainer_kwargs, trials=9, budget=Budget(max_params=10))
    assert not children.calls


def test_where_nothing_can_be_said_before_it_is_said_in_the_end(trainer_kwargs: dict[str, Any]) -> None:
    space = ConvChainSpace(depths=(2, 3))
    budget = Budget(max_params=10)
    message = r"No genotype that was found keeps the limits: of the nearest one, params [\d,]+ is [\d,]+ \(.*%\) more "
    L.seed_everything(0, verbose=False)
    with pytest.raises(NothingFitsError, match=message):
        run(UniformSampler(space), KnownChildren(), trainer_kwargs, trials=4, budget=budget, skeleton=ChainSkeleton(4))


# --- what samplers make of it ---------------------------------------------------------------------------------------


def trial(number: int, status: Any, reward: float | None, genotype: Any) -> Trial:
    return Trial(number, Proposal(genotype, Fidelity(epochs=1)), 0, status, reward, 0.0)


def test_a_controller_learns_to_keep_the_limits(trainer_kwargs: dict[str, Any]) -> None:
    L.seed_everything(0, verbose=False)
    controller = LogitsController(SPACE, optimizer=Adam(0.05, (0.9, 0.999), 0.0))
    budget = Budget(costs=[], max_params=SIZES[0])  # 8 of 27 networks
    search = run_small(controller, trainer_kwargs, trials=400, round_size=10, budget=budget)
    statuses = [trial.status for trial in search.runner.known.values()]
    assert statuses[:100].count("refused") > 50
    assert statuses[-100:].count("refused") < 20


def test_a_refused_child_counts_with_the_worst_reward() -> None:
    controller = LogitsController(SPACE, optimizer=Adam(0.1))
    one, other, *_ = everything(SPACE)
    assert not list(controller.losses([trial(0, "refused", None, one)]))  # nothing to compare with
    controller.tell([trial(0, "refused", None, one)])
    assert controller.baseline is None
    controller.tell([trial(1, "complete", 0.4, one), trial(2, "complete", 0.8, other)])
    before = controller.baseline
    controller.tell([trial(3, "refused", None, one)])
    decay = controller.rule.baseline_decay
    weight = 1 - decay**3
    expected = (0.4 * decay**2 + 0.8 * decay + 0.4) * (1 - decay) / weight
    assert controller.baseline == pytest.approx(expected)
    assert before is not None
    again = LogitsController(SPACE)
    again.load_state_dict(controller.state_dict())
    assert again.memory() == controller.memory()
    assert again.memory()["worst"] == 0.4
    (loss,) = controller.losses([trial(4, "refused", None, one), trial(5, "failed", None, other)])
    assert float(loss.detach()) < 0  # its probability sinks
    assert torch.isfinite(loss)


def test_evolution_and_halving_know_what_was_refused(trainer_kwargs: dict[str, Any]) -> None:
    L.seed_everything(0, verbose=False)
    evolution = RegularizedEvolution(SPACE, population=5, sample=2)
    run(evolution, KnownChildren(), trainer_kwargs, trials=40, budget=BUDGET, skeleton=SKELETON)
    costing = Costing(BUDGET, SPACE, SKELETON)
    assert len(evolution.members) == 5
    assert all(costing.fits(genotype) for _, genotype, _ in evolution.members)
    rungs = [Fidelity(epochs=1), Fidelity(epochs=2), Fidelity(epochs=3)]
    halving = SuccessiveHalving(UniformSampler(SPACE), rungs)
    search = run_small(halving, trainer_kwargs, trials=40, budget=BUDGET, filename="halving.jsonl")
    assert all(costing.fits(genotype) for rung in halving.entries for _, genotype, _, _ in rung)
    assert search.best is not None
    assert search.best.proposal.fidelity.epochs == 3


# --- files, logs, other runs ----------------------------------------------------------------------------------------


def test_costs_are_logged_and_shown(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    logger = TensorBoardLogger(tmp_path, name="", version="")
    callbacks = [TrialMonitor(curves=False), ExtractGenotype(picture=False)]
    L.seed_everything(0, verbose=False)
    search = run(
        UniformSampler(SPACE),
        KnownChildren(),
        trainer_kwargs,
        trials=10,
        budget=BUDGET,
        skeleton=SKELETON,
        t_logger=logger,
        t_callbacks=callbacks,
    )
    events = EventAccumulator(str(tmp_path), size_guidance={"tensors": 0})
    events.Reload()
    assert [event.step for event in events.Scalars("search/params")] == list(range(10))
    refused = [trial.status == "refused" for trial in search.runner.known.values()]
    assert [event.value == 1.0 for event in events.Scalars("search/refused")] == refused
    table = events.Tensors("search/trials/text_summary")[-1].tensor_proto.string_val[0].decode()
    assert "| seconds | params | macs | genotype |" in table
    best = search.best
    assert best is not None
    assert f"| {best.metrics['params']:,.0f} |" in table
    text = (tmp_path / "genotype.yaml").read_text()
    assert text.startswith(f"# params: {best.metrics['params']:,.0f} (at most {MIDDLE:,.0f})\n# macs: ")


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        (
            Budget(max_params=SIZES[0]),
            r"which is over max_params and was evaluated: it is of a search with another",
        ),
        (
            Budget(max_params=SIZES[-1]),
            r"which keeps all limits and was refused: it is of a search with another",
        ),
        (Budget([Counted()], max_latency_ms=9.0), r"of which no latency_ms is known: it is of a search with another"),
    ],
)
def test_trials_of_another_budget(budget: Budget, message: str, trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    def start(budget: Budget) -> MultiTrialSearch:
        L.seed_everything(0, verbose=False)
        return run(UniformSampler(SPACE), KnownChildren(), trainer_kwargs, trials=20, budget=budget, skeleton=SKELETON)

    assert start(BUDGET).best == start(BUDGET).best
    with pytest.raises(MisconfigurationException, match=message):
        start(budget)


class Killed(BaseException):
    """What no search catches."""


def test_a_killed_search_ends_as_the_unbroken_one(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    ends = []
    for stops in ((), (7, 16)):
        kwargs = {**trainer_kwargs, "default_root_dir": tmp_path / str(len(stops))}
        for stop in (*stops, None):
            L.seed_everything(0, verbose=False)
            controller, children = LogitsController(SPACE, optimizer=Adam(0.1)), KnownChildren()
            children.stops = {} if stop is None else dict.fromkeys(range(stop, 24), Killed)
            settings: dict[str, Any] = {"trials": 24, "round_size": 4, "budget": BUDGET, "skeleton": SKELETON}
            if stop is None:
                search = run(controller, children, kwargs, **settings)
            else:
                with pytest.raises(Killed):
                    run(controller, children, kwargs, **settings)
        ends.append((read_trials(kwargs["default_root_dir"]), controller.state_dict(), search.best))
    assert ends[0][0] == ends[1][0]
    assert ends[0][2] == ends[1][2]
    assert all(torch.equal(value, ends[1][1][key]) for key, value in ends[0][1].items())
    assert {trial.status for trial in ends[0][0]} == {"complete", "refused"}


def test_presets_hand_the_budget_on() -> None:
    search = RandomSearch(SPACE, KnownChildren(), SKELETON, budget=BUDGET)
    assert search.budget is BUDGET
    assert json.loads(json.dumps(dict(search.hparams)))["budget"]["init_args"]["max_params"] == MIDDLE
    assert search.costing.fits(search.derive())
