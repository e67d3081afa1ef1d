"""Rewards that are made of accuracy and costs."""

from __future__ import annotations

from typing import Any

import pytest

from lightning_nas import Evaluation, MetricReward, WeightedProduct, WeightedSum
from lightning_nas.config import instantiate

CHILD = Evaluation({"val/accuracy": 0.8, "latency_ms": 10.0, "params": 1e6}, {"val/accuracy": (0.9, 0.7, 0.8)})


@pytest.mark.parametrize(
    ("target", "alpha", "beta", "expected"),
    [
        (10.0, -0.07, -0.07, 0.8),
        (5.0, -0.07, -0.07, 0.8 * 2**-0.07),  # above the target: less
        (20.0, -0.07, -0.07, 0.8 * 0.5**-0.07),  # below: more
        (20.0, 0.0, -1.0, 0.8),  # the hard form, below
        (5.0, 0.0, -1.0, 0.4),  # and above
    ],
)
def test_weighted_product(target: float, alpha: float, beta: float, expected: float) -> None:
    assert WeightedProduct("latency_ms", target, alpha, beta)(CHILD) == pytest.approx(expected)


def test_the_accuracy_of_the_curve_counts() -> None:
    reward = MetricReward(last=3, power=2.0)
    assert WeightedProduct("latency_ms", 10.0, reward=reward)(CHILD) == pytest.approx(0.81)
    assert WeightedSum({"latency_ms": 0.01, "params": 1e-7}, reward)(CHILD) == pytest.approx(0.81 - 0.1 - 0.1)


def test_rewards_are_made_of_rewards() -> None:
    both = WeightedProduct("latency_ms", 10.0, reward=WeightedSum({"params": 1e-7}))
    assert both.needs == ("params", "latency_ms")
    assert instantiate(both.config())(CHILD) == pytest.approx(0.7)


@pytest.mark.parametrize("reward", [WeightedProduct("macs", 1e6), WeightedSum({"macs": 1e-9})], ids=["product", "sum"])
def test_a_missing_cost(reward: WeightedProduct | WeightedSum) -> None:
    with pytest.raises(ValueError, match=r"needs the cost 'macs', and children have val/accuracy, latency_ms, params"):
        reward(CHILD)
    with pytest.raises(ValueError, match=r"give the search budget=Budget\(costs=\[\.\.\.\]\) with a cost of this name"):
        reward(CHILD)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (
            WeightedProduct,
            {"cost": "macs", "target": 0},
            r"WeightedProduct\(target=0\): give a positive number",
        ),
        (WeightedProduct, {"cost": "macs", "target": 1, "beta": 0.1}, r"beta=0\.1\): give 0, or negative powers"),
        (WeightedSum, {"weights": {}}, r"WeightedSum\(weights=\{\}\): name a cost or more"),
        (WeightedSum, {"weights": {"macs": -1.0}}, r"each with a weight of 0 or more"),
    ],
)
def test_bad_arguments(make: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**arguments)


def test_a_cost_of_nothing_has_no_power() -> None:
    with pytest.raises(ValueError, match=r"WeightedProduct\(cost='macs'\): the child's is 0\.0, not positive"):
        WeightedProduct("macs", 1.0)(Evaluation({"val/accuracy": 0.8, "macs": 0.0}))
