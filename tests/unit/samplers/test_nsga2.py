"""NSGA-II by what it proposes and who survives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lightning_nas import Genotype, Nsga2Sampler, Sampler, SearchSpace, Trial, UniformSampler
from lightning_nas.functional.pareto import rank_and_crowding
from lightning_nas.runtime.seeding import derive_seed, generator
from lightning_nas.spaces import ConvChainSpace, NasBench201Space
from lightning_nas.testing import BoringSpace
from lightning_nas.trials.objectives import Direction, Objectives
from lightning_nas.trials.trial import Proposal

SPACE = NasBench201Space()
BOTH: dict[str, Direction] = {"val/accuracy": "max", "params": "min"}


def figures(proposal: Proposal) -> dict[str, float]:
    """Convolutions are good and expensive, where they stand matters, and a little of it is chance."""
    options = [option for _, option in proposal.genotype]
    worth = {"nor_conv_3x3": 3, "nor_conv_1x1": 2, "skip_connect": 1}
    good = sum(worth.get(option, 0) * place for place, option in enumerate(options, start=1))
    params = sum({"nor_conv_3x3": 9, "nor_conv_1x1": 1}.get(option, 0) for option in options)
    return {"val/accuracy": good + derive_seed(0, *options) % 100 / 100, "params": float(params)}


def play(
    sampler: Sampler, rounds: int, size: int, seed: int = 0, failing: Callable[[int], bool] = lambda number: False
) -> list[Trial]:
    found: list[Trial] = []
    for number in range(rounds):
        proposals = sampler.ask(size, generator=generator(seed, "ask", number))
        trials = []
        for index, proposal in enumerate(proposals, start=len(found)):
            metrics = {} if failing(index) else figures(proposal)
            status = "failed" if failing(index) else "complete"
            trials.append(Trial(index, proposal, 0, status, metrics.get("val/accuracy"), 1.0, metrics))
        sampler.tell(trials)
        found += trials
    return found


def crossed(sampler: Nsga2Sampler, first: Genotype, second: Genotype, number: int) -> Genotype:
    source = generator(3, number)
    return sampler._varied(sampler._crossed(first, second, source), {}, sampler.mutation, source)


@pytest.mark.parametrize("size", [1, 4, 8])
def test_the_best_fronts_and_the_least_crowded_survive(size: int) -> None:
    sampler, objectives = Nsga2Sampler(SPACE, BOTH, population=8), Objectives(BOTH)
    alive: list[Trial] = []
    trials = play(sampler, 48 // size, size, failing=lambda number: number % 5 == 1)
    for first in range(0, 48, size):
        alive += [trial for trial in trials[first : first + size] if trial.status == "complete"]
        standing = rank_and_crowding([objectives.point(trial.metrics) for trial in alive])
        order = sorted(range(len(alive)), key=lambda i: (standing[i][0], -standing[i][1], i))
        alive = [alive[index] for index in sorted(order[:8])]
    assert [member[0] for member in sampler.members] == [trial.id for trial in alive]
    assert sampler.figures() == {"front": sum(rank == 0 for rank, _ in sampler._standing)}


def test_children_descend_from_members() -> None:
    sampler = Nsga2Sampler(SPACE, BOTH, population=6, crossover=1.0, mutation=0.0)
    trials = play(sampler, 3, 6)
    assert [trial.proposal.parent for trial in trials[:6]] == [None] * 6
    members = {member[0]: member[1] for member in sampler.members}
    new = [
        proposal for proposal in sampler.ask(40, generator=generator(1)) if proposal.genotype not in members.values()
    ]
    assert len({proposal.genotype for proposal in new}) == 40, "what was seen is mutated even so"
    assert {proposal.parent for proposal in new} <= set(members)
    first, second = list(members.values())[:2]
    children = [crossed(sampler, first, second, number) for number in range(400)]
    assert all(option in (first[name], second[name]) for child in children for name, option in child)
    shares = [child.distance(first) / first.distance(second) for child in children]
    assert sum(shares) / 400 == pytest.approx(0.5, abs=4 * 0.5 / 400**0.5), "one half of each"


def test_mutation_alone() -> None:
    sampler = Nsga2Sampler(SPACE, BOTH, population=6, crossover=0.0, mutation=None)
    play(sampler, 1, 6)
    members = {member[0]: member[1] for member in sampler.members}
    distances = []
    for number in range(300):
        proposal = sampler.propose(6, generator(1, number))
        distances.append(members[proposal.parent or 0].distance(proposal.genotype))
    # Binomial with six trials of 1/6, given that it is not zero: mean 1 / (1 - (5/6)^6) = 1.50, deviation 0.7.
    assert min(distances) == 1
    assert sum(distances) / 300 == pytest.approx(1.504, abs=4 * 0.7 / 300**0.5)


def test_tournaments_favour_the_front() -> None:
    sampler = Nsga2Sampler(SPACE, BOTH, population=20)
    play(sampler, 2, 20)
    standing = dict(zip([member[0] for member in sampler.members], sampler._standing, strict=True))
    assert len({rank for rank, _ in standing.values()}) > 1
    parents = [sampler.propose(40, generator(2, number)).parent for number in range(400)]
    mean = sum(standing[parent][0] for parent in parents if parent is not None) / 400
    assert mean < 0.8 * sum(rank for rank, _ in standing.values()) / 20


def test_no_genotype_twice_while_new_ones_are_found() -> None:
    trials = play(Nsga2Sampler(SPACE, BOTH, population=10), 40, 10, failing=lambda number: number % 7 == 0)
    assert len({trial.genotype for trial in trials}) == len(trials) == 400


def test_a_space_that_is_used_up() -> None:
    space = BoringSpace()
    count = space.size + 20
    trials = play(Nsga2Sampler(space, BOTH, population=4), count // 4, 4)
    assert len({trial.genotype for trial in trials}) >= 0.9 * space.size, "nearly all"
    assert len(trials) > space.size, "and it goes on"


def test_conditional_decisions_come_from_whoever_has_them() -> None:
    space: SearchSpace = ConvChainSpace(depths=(2, 4))
    sampler = Nsga2Sampler(space, BOTH, population=6, crossover=1.0, mutation=0.0)
    play(sampler, 2, 6)
    shallow, deep = (next(m[1] for m in sampler.members if m[1]["depth"] == depth) for depth in ("2", "4"))
    for first, second in ((shallow, deep), (deep, shallow)):
        children = [crossed(sampler, first, second, number) for number in range(100)]
        assert 30 < sum(child["depth"] == "4" for child in children) < 70
        for child in children:
            assert child in space
            for name, option in child:
                assert option in [parent.as_mapping().get(name) for parent in (first, second)], "never drawn"


def test_it_finds_more_than_chance() -> None:
    objectives, reference = Objectives(BOTH), {"val/accuracy": 0.0, "params": 40.0}
    volumes: dict[str, list[float]] = {"nsga2": [], "random": []}
    for seed in range(3):
        for name, sampler in (("nsga2", Nsga2Sampler(SPACE, BOTH, population=20)), ("random", UniformSampler(SPACE))):
            trials = play(sampler, 15, 20, seed)
            volumes[name].append(objectives.hypervolume(trials, reference))
    assert min(volumes["nsga2"]) > max(volumes["random"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": 1}, r"Nsga2Sampler\(population=1\): give at least 2, who can be crossed"),
        ({"crossover": 1.5}, r"Nsga2Sampler\(crossover=1.5\): give a probability in \[0, 1\]"),
        ({"mutation": -0.1}, r"Nsga2Sampler\(mutation=-0.1\): give a probability in \[0, 1\]"),
        ({"objectives": {"val/accuracy": "max"}}, r"Nsga2Sampler\(objectives=.*give at least two"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Nsga2Sampler(**{"space": SPACE, "objectives": BOTH, **arguments})
