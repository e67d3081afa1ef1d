"""The choice of one network of a front, and the front's file."""

from __future__ import annotations

import pytest

from helpers.fronts import front
from lightning_nas.pareto import Condition, Front, pick


@pytest.mark.parametrize(
    ("conditions", "best", "trial"),
    [
        ([], None, 10),
        (["latency_ms<8"], None, 11),
        (["latency_ms<=8.0"], None, 10),
        (["latency_ms < 5"], None, 12),
        (["params<1e3", " latency_ms<=5"], None, 11),
        (["val/accuracy>0.6"], "latency_ms", 11),
        (["val/accuracy>=0.6"], "latency_ms", 12),
    ],
)
def test_best_of_those_that_keep_the_conditions(conditions: list[str], best: str | None, trial: int) -> None:
    assert pick(front(), [Condition.parse(text) for text in conditions], best).trial == trial


@pytest.mark.parametrize(
    ("conditions", "best", "message"),
    [
        (
            ["latency_ms<3"],
            None,
            r"latency_ms<3: the nearest one, trial 12, has latency_ms 3.5, 0.5 too much\.",
        ),
        (
            ["latency_ms<3.5"],
            None,
            r"latency_ms<3.5: the nearest one, trial 12, has latency_ms 3.5, just the bound\.",
        ),
        (
            ["val/accuracy>=0.85", "latency_ms<=6"],
            None,
            r"has val/accuracy>=0.85, latency_ms<=6: the nearest one, trial 11, has val/accuracy 0.8, 0.05 too lit",
        ),
        (["macs<5"], None, r"networks of this front have no 'macs': they have val/accuracy, latency_ms, params\."),
        ([], "params", r"--best 'params' is no objective of this front: give one of val/accuracy, latency_ms\."),
    ],
)
def test_choices_that_cannot_be_made(conditions: list[str], best: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pick(front(), [Condition.parse(text) for text in conditions], best)
    with pytest.raises(ValueError, match=r"The front is empty|no objective"):
        pick(front(members=()), [], best)


@pytest.mark.parametrize(
    "text", ["latency_ms", "latency_ms=5", "<5", "latency_ms<five", "a<1<2", "a<nan", "", "a<__import__('os')"]
)
def test_conditions_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no condition: give a metric, one of < <= > >=, and a number, as in 'lat"):
        Condition.parse(text)


def test_file_round_trip() -> None:
    assert Front.from_json(front().to_json()) == front()
    for text in ("", "[]", '{"front": 3}', front().to_json()[:-100]):
        with pytest.raises(ValueError, match=r"^front\.json is no front as the callback ParetoFront writes it"):
            Front.from_json(text)
