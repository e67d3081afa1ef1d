"""Records of children: to plain data and back, their order, and what a reward is made of."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from helpers.random_trials import SPACE, random_trial
from lightning_nas import Fidelity, MetricReward
from lightning_nas.runtime.seeding import generator
from lightning_nas.trials.trial import Evaluation, Proposal, Trial, best_trial


def trial(number: int, reward: float | None, fidelity: Fidelity = Fidelity()) -> Trial:  # noqa: B008 - frozen
    proposal = Proposal(SPACE.sample(generator(0, number)), fidelity)
    return Trial(number, proposal, 0, "failed" if reward is None else "complete", reward, 1.0)


def test_through_json_and_back() -> None:
    for number in range(50):
        one = random_trial(number)
        plain = json.loads(json.dumps(one.to_dict()))
        again = Trial.from_dict(plain)
        assert again == one
        assert hash(again.proposal) == hash(one.proposal)
        assert again.genotype in SPACE
        assert again.to_dict() == plain


def test_epochs_of_a_continued_child() -> None:
    assert Proposal(SPACE.sample(generator(0)), Fidelity(epochs=9), parent=1, start_epoch=3).epochs == 6


@pytest.mark.parametrize("data", [{}, {"id": 1}, {"proposal": None}, {"proposal": {"genotype": {}}}, [], "text", 3])
def test_other_data_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match=r"This is no record of a trial|genotype is not a complete genotype"):
        Trial.from_dict(data)


@pytest.mark.parametrize("change", ["missing", "unknown", "fidelity", "fixed", "curves"])
def test_records_with_a_wrong_part_are_refused(change: str) -> None:
    plain = trial(0, 0.5).to_dict()
    if change == "missing":
        del plain["seed"]
    elif change == "unknown":
        plain["colour"] = "red"
    elif change == "fidelity":
        plain["proposal"]["fidelity"]["width"] = 1
    elif change == "fixed":
        del plain["proposal"]["fixed"]
    else:
        plain["curves"] = [1.0]
    with pytest.raises(ValueError, match=r"This is no record of a trial \("):
        Trial.from_dict(plain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 0}, r"Fidelity\(epochs=0\): give an integer of at least 1"),
        ({"epochs": 1.5}, r"Fidelity\(epochs=1.5\): give an integer of at least 1"),
        ({"cells": 0}, r"Fidelity\(cells=0\): give an integer of at least 1"),
        ({"channels": -3}, r"Fidelity\(channels=-3\): give an integer of at least 1"),
        ({"resolution": 0}, r"Fidelity\(resolution=0\): give an integer of at least 1"),
        ({"share": 0.0}, r"Fidelity\(share=0.0\): give a number above 0 and at most 1"),
        ({"share": 1.5}, r"Fidelity\(share=1.5\): give a number above 0 and at most 1"),
        ({"share": math.nan}, r"Fidelity\(share=nan\): give a number above 0 and at most 1"),
    ],
)
def test_fidelities_out_of_range(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fidelity(**arguments)


def test_order_of_fidelities() -> None:
    ascending = [
        Fidelity(epochs=2, share=0.25),
        Fidelity(epochs=1, resolution=16),
        Fidelity(epochs=1, channels=8),
        Fidelity(epochs=1, channels=16, cells=2),
        Fidelity(epochs=1, channels=16),
        Fidelity(epochs=1, cells=2),
        Fidelity(epochs=1),
        Fidelity(epochs=3, share=0.5, resolution=8),
    ]
    shuffled = ascending[1::2] + ascending[::2]
    assert sorted(shuffled, key=lambda fidelity: fidelity.rank) == ascending


def test_the_best_trial() -> None:
    low, high = Fidelity(epochs=1), Fidelity(epochs=2)
    trials = [trial(0, 0.9, low), trial(1, None, high), trial(2, 0.5, high), trial(3, 0.7, high), trial(4, 0.7, high)]
    assert best_trial(trials) == best_trial(reversed(trials)) == trials[3]
    assert best_trial(trials[:2]) == trials[0]
    assert best_trial(trials[1:2]) is None
    assert best_trial([]) is None
    best = None
    for one in trials:  # as a search goes
        best = best_trial([one] if best is None else [best, one])
    assert best == trials[3]


def test_rewards() -> None:
    evaluation = Evaluation({"a": 0.2, "b": -2.0}, {"a": (0.9, 0.4, 0.3, 0.2)})
    assert MetricReward("a")(evaluation) == 0.2
    assert MetricReward("a", last=3, power=3.0)(evaluation) == pytest.approx(0.064)
    assert MetricReward("a", last=9)(evaluation) == 0.9
    assert MetricReward("b", last=5)(evaluation) == -2.0, "without a curve the final value counts"
    with pytest.raises(ValueError, match=r"MetricReward\(metric='val/accuracy'\): children have a, b\. Name one of"):
        MetricReward()(evaluation)
    with pytest.raises(ValueError, match=r"children have no metrics\. .* a validation part, such as validation=0\.1"):
        MetricReward()(Evaluation({}))
    with pytest.raises(ValueError, match=r"MetricReward\(power=0.5\): b is -2.0, and .*: give a whole power"):
        MetricReward("b", power=0.5)(evaluation)
    for wrong in ({"last": 0}, {"power": 0.0}, {"power": -1.0}):
        with pytest.raises(ValueError, match=r"give at least one epoch and a positive power"):
            MetricReward(**wrong)  # type: ignore[arg-type]
