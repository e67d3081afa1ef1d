"""Fronts, ranks, crowding and hypervolumes against their definitions, on random points with ties."""

from __future__ import annotations

import itertools
import math
import random
import sys
from typing import Any

import pytest
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas import Fidelity, Genotype, Proposal, Trial
from lightning_nas.functional.pareto import dominates, hypervolume, non_dominated, rank_and_crowding
from lightning_nas.trials.objectives import Objectives, check_pymoo

Points = list[tuple[int, ...]]


def drawn(count: int, dimensions: int, seed: int, largest: int = 6) -> Points:
    source = random.Random(seed)
    return [tuple(source.randrange(largest) for _ in range(dimensions)) for _ in range(count)]


def beaten(points: Points, index: int) -> bool:
    """By the definition, or equal to an earlier one."""
    mine = points[index]
    return any(
        all(a <= b for a, b in zip(other, mine, strict=True)) and (other != mine or place < index)
        for place, other in enumerate(points)
    )


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", range(5))
def test_front(dimensions: int, seed: int) -> None:
    points = drawn(30, dimensions, seed)
    assert non_dominated(points) == [index for index in range(30) if not beaten(points, index)]
    assert non_dominated([]) == []


def test_domination() -> None:
    for one, other in itertools.product(drawn(20, 3, 0, 3), repeat=2):
        wanted = all(a <= b for a, b in zip(one, other, strict=True)) and any(
            a < b for a, b in zip(one, other, strict=True)
        )
        assert dominates(one, other) == wanted


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_the_fronts_one_after_the_other(dimensions: int, seed: int) -> None:
    points = drawn(30, dimensions, seed)
    wanted, left, rank = {}, list(range(30)), 0
    while left:
        front = [i for i in left if not any(dominates(points[j], points[i]) for j in left)]
        wanted |= dict.fromkeys(front, rank)
        left, rank = [i for i in left if i not in front], rank + 1
    assert [rank for rank, _ in rank_and_crowding(points)] == [wanted[index] for index in range(30)]
    assert rank_and_crowding([]) == []


@pytest.mark.parametrize("seed", range(5))
def test_crowding_is_the_sides_of_the_cuboid(seed: int) -> None:
    """Section III-B of the paper, on a front without ties."""
    source = random.Random(seed)
    first = sorted(source.sample(range(100), 12))
    second = sorted(source.sample(range(100), 12), reverse=True)
    points = list(zip(first, second, strict=True))
    order = source.sample(range(12), 12)
    found = rank_and_crowding([points[index] for index in order])
    for (rank, distance), index in zip(found, order, strict=True):
        assert rank == 0
        if index in (0, 11):
            assert distance == math.inf
        else:
            sides = [(c[index + 1] - c[index - 1]) / (c[-1] - c[0]) for c in (first, second)]
            assert distance == pytest.approx(sum(sides) / 2)  # pymoo's is the mean of the sides


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_hypervolume_counts_the_cells_of_a_grid(dimensions: int, seed: int) -> None:
    points, reference = drawn(8, dimensions, seed, 8), (6,) * dimensions
    cells = itertools.product(range(6), repeat=dimensions)
    wanted = sum(any(all(p <= c for p, c in zip(point, cell, strict=True)) for point in points) for cell in cells)
    assert hypervolume(points, reference) == pytest.approx(wanted)
    assert hypervolume([], reference) == hypervolume([reference], reference) == 0.0


def test_without_pymoo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pymoo.indicators.hv", None)
    message = r"which is not installed: pip install 'lightning-nas\[pareto\]'"
    with pytest.raises(ModuleNotFoundError, match=message):
        rank_and_crowding([(1, 2)])
    with pytest.raises(ModuleNotFoundError, match=message):
        hypervolume([(1, 1, 1)], (2, 2, 2))
    with pytest.raises(MisconfigurationException, match=f"Nsga2Sampler needs .*{message}"):
        check_pymoo("Nsga2Sampler")
    assert hypervolume([(1, 1)], (2, 2)) == 1.0, "a front of two objectives needs none"


# --- objectives -------------------------------------------------------------------------------------------------------


def trial(number: int, accuracy: float, params: float, **more: Any) -> Trial:
    fidelity = more.pop("fidelity", Fidelity())
    proposal = Proposal(Genotype("S", (("a", str(number)),)), fidelity)
    status = more.pop("status", "complete")
    return Trial(number, proposal, 0, status, accuracy, 1.0, {"val/accuracy": accuracy, "params": params}, **more)


BOTH = Objectives({"val/accuracy": "max", "params": "min"})


def ids(trials: list[Trial]) -> list[int]:
    return [trial.id for trial in trials]


def test_front_of_trials_is_ordered_by_the_first_objective() -> None:
    trials = [trial(0, 0.5, 9), trial(1, 0.9, 10), trial(2, 0.5, 5), trial(3, 0.7, 7), trial(4, 0.7, 7)]
    assert ids(BOTH.front(trials)) == ids(BOTH.front(trials[::-1])) == [1, 3, 2]
    assert ids(Objectives({"params": "min", "val/accuracy": "max"}).front(trials)) == [2, 3, 1]


@pytest.mark.parametrize("status", ["failed", "refused"])
def test_who_was_not_evaluated_never_enters(status: str) -> None:
    assert ids(BOTH.front([trial(0, 0.9, 1, status=status), trial(1, 0.1, 9)])) == [1]
    broken = Trial(2, Proposal(Genotype("S", (("a", "b"),))), 0, "failed", None, 1.0)  # has no metrics
    assert BOTH.front([broken]) == []
    assert ids(BOTH.front([trial(0, float("nan"), 1), trial(1, 0.9, float("inf")), trial(2, 0.1, 3)])) == [2]


def test_the_highest_fidelity_alone_is_compared() -> None:
    short, long = Fidelity(epochs=2), Fidelity(epochs=8)
    assert ids(BOTH.front([trial(0, 0.9, 1, fidelity=short), trial(1, 0.5, 9, fidelity=long)])) == [1]


def test_default_reference_is_worse_than_the_first() -> None:
    directions = {"a": "max", "b": "min", "c": "max", "d": "min"}
    found = Objectives(directions).reference({"a": 0.5, "b": 3.0, "c": -2.0, "d": -1.0})  # type: ignore[arg-type]
    assert found == {"a": 0.0, "b": 6.0, "c": -4.0, "d": 0.0}
    assert BOTH.hypervolume([trial(0, 0.5, 3)], {"val/accuracy": 0.0, "params": 6.0}) == 1.5


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (
            {"val/accuracy": "max"},
            r"ParetoFront\(objectives=.*give at least two, such as val/accuracy: max, params: min",
        ),
        ({"a": "max", "b": "low"}, r"ParetoFront\(objectives=\{'b': 'low'\}\): give 'max' or 'min'"),
    ],
)
def test_objectives_that_are_none(directions: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Objectives(directions, "ParetoFront")


def test_a_missing_metric_is_named() -> None:
    message = r"objectives=...\): there is no metric 'macs'; networks have val/accuracy, params\. Name one of these, or"
    with pytest.raises(MisconfigurationException, match=message):
        Objectives({"val/accuracy": "max", "macs": "min"}).front([trial(0, 0.5, 3)])
