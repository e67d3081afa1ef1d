"""Successive halving, regularized evolution and schedules of fidelities, by what they propose after many trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from lightning_nas import (
    Fidelity,
    FidelitySchedule,
    LogitsController,
    RegularizedEvolution,
    Sampler,
    SuccessiveHalving,
    UniformSampler,
)
from lightning_nas.runtime.seeding import derive_seed, generator
from lightning_nas.spaces import ConvChainSpace, NasBench201Space
from lightning_nas.trials.trial import Proposal, Trial

SPACE = NasBench201Space()
RUNGS = (Fidelity(epochs=1), Fidelity(epochs=3), Fidelity(epochs=9))


class Listener(UniformSampler):
    """Keeps what it is told."""

    def tell(self, trials: Sequence[Trial]) -> None:
        super().tell(trials)
        self.__dict__.setdefault("heard", []).extend(trials)


def worth(proposal: Proposal) -> float:
    """What a child is worth, the better the longer it was trained."""
    options = (option for _, option in proposal.genotype)
    return proposal.fidelity.epochs + derive_seed(0, *options) % 1000 / 1000


def play(
    sampler: Sampler, rounds: int, size: int, failing: Callable[[int], bool] = lambda number: False
) -> list[Trial]:
    """All trials of some rounds."""
    found: list[Trial] = []
    for number in range(rounds):
        proposals = sampler.ask(size, generator=generator(0, "ask", number))
        trials = []
        for index, proposal in enumerate(proposals, start=len(found)):
            broken = failing(index)
            reward = None if broken else worth(proposal)
            trials.append(Trial(index, proposal, 0, "failed" if broken else "complete", reward, 1.0))
        sampler.tell(trials)
        found += trials
    return found


# --- successive halving ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4])
def test_each_rung_holds_its_share(size: int) -> None:
    trials = play(SuccessiveHalving(UniformSampler(SPACE), RUNGS), 520 // size, size)
    counts = Counter(trial.proposal.fidelity for trial in trials)
    assert set(counts) == set(RUNGS)
    # A third of each goes on; those of the last round may not have yet, and who was among the best once stays there.
    for low, high in pairwise(RUNGS):
        assert counts[low] // 3 - size <= counts[high] <= 1.35 * counts[low] / 3


def test_promoted_children_go_on_from_their_weights() -> None:
    trials = play(SuccessiveHalving(UniformSampler(SPACE), RUNGS), 100, 3)
    promoted = [trial for trial in trials if trial.proposal.start_epoch]
    assert len(promoted) > 60
    for trial in promoted:
        proposal, parent = trial.proposal, trials[trial.proposal.parent or 0]
        rung = RUNGS.index(proposal.fidelity)
        assert parent.id == proposal.parent
        assert parent.id // 3 < trial.id // 3, "of an earlier round"
        assert parent.genotype == trial.genotype
        assert parent.proposal.fidelity == RUNGS[rung - 1]
        assert proposal.start_epoch == RUNGS[rung - 1].epochs
        assert proposal.epochs == RUNGS[rung].epochs - RUNGS[rung - 1].epochs
    assert max(Counter(trial.proposal.parent for trial in promoted).values()) == 1, "once each"
    fresh = [trial.proposal for trial in trials if not trial.proposal.start_epoch]
    assert {(proposal.fidelity, proposal.parent) for proposal in fresh} == {(RUNGS[0], None)}


def test_the_best_of_a_rung_go_on() -> None:
    sampler = SuccessiveHalving(UniformSampler(SPACE), RUNGS[:2], keep=0.25)
    first = play(sampler, 1, 16)
    expected = sorted(first, key=lambda trial: (-(trial.reward or 0.0), trial.id))[:4]
    proposals = sampler.ask(6, generator=generator(1))
    assert [proposal.parent for proposal in proposals] == [*(trial.id for trial in expected), None, None]
    assert [proposal.parent for proposal in sampler.ask(2, generator=generator(1))] == [t.id for t in expected[:2]]


def test_a_failed_promotion_is_not_tried_again() -> None:
    sampler = SuccessiveHalving(UniformSampler(SPACE), RUNGS)
    trials = play(sampler, 150, 2, failing=lambda number: number % 3 == 2)
    promoted = [trial for trial in trials if trial.proposal.start_epoch]
    assert any(trial.status == "failed" for trial in promoted)
    assert max(Counter(trial.proposal.parent for trial in promoted).values()) == 1
    assert all(trials[trial.proposal.parent or 0].status == "complete" for trial in promoted)


def test_the_wrapped_sampler_hears_of_the_lowest_rung_alone() -> None:
    inner = Listener(SPACE)
    trials = play(SuccessiveHalving(inner, RUNGS), 60, 3, failing=lambda number: number % 7 == 0)
    lowest = [trial for trial in trials if trial.proposal.fidelity == RUNGS[0]]
    assert inner.__dict__["heard"] == lowest
    assert inner.told == len(lowest) < len(trials)


def test_losses_are_those_of_the_lowest_rung() -> None:
    controller = LogitsController(SPACE)
    sampler = SuccessiveHalving(controller, RUNGS)
    assert sampler.optimizer is controller.optimizer
    play(sampler, 1, 6)
    proposals = sampler.ask(3, generator=generator(2))
    assert [proposal.fidelity for proposal in proposals] == [RUNGS[1], RUNGS[1], RUNGS[0]]
    trials = [Trial(6 + i, proposal, 0, "complete", 50.0 + i, 1.0) for i, proposal in enumerate(proposals)]
    (loss,) = sampler.losses(trials)
    (expected,) = controller.losses(trials[2:])
    assert loss.item() == expected.item()
    assert list(sampler.losses(trials[:2])) == []


def test_evolution_within_halving_keeps_its_parents() -> None:
    trials = play(SuccessiveHalving(RegularizedEvolution(SPACE, 4, 2), RUNGS), 60, 2)
    mutated = [t for t in trials if t.proposal.parent is not None and not t.proposal.start_epoch]
    assert len(mutated) > 20
    for trial in mutated:
        parent = trials[trial.proposal.parent or 0]
        assert parent.proposal.fidelity == RUNGS[0]
        assert parent.genotype.distance(trial.genotype) == 1


# --- evolution ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3])
def test_evolution(size: int) -> None:
    sampler = RegularizedEvolution(SPACE, population=6, sample=3)
    trials = play(sampler, 60 // size, size, failing=lambda number: number % 5 == 1)
    for trial in trials:
        asked = trial.id // size * size  # what was known when the round was asked for
        alive = [t for t in trials[:asked] if t.status == "complete"][-6:]
        parent = trial.proposal.parent
        if len(alive) < 6:
            assert parent is None, "drawn until the population is full"
        else:
            assert parent in [t.id for t in alive], "the oldest are dead, and the failed never lived"
            assert trials[parent].genotype.distance(trial.genotype) == 1
    complete = [trial for trial in trials if trial.status == "complete"]
    assert [member[0] for member in sampler.members] == [trial.id for trial in complete[-6:]]


def test_the_best_of_the_sample_is_mutated() -> None:
    greedy = RegularizedEvolution(SPACE, population=5, sample=5)
    trials = play(greedy, 5, 1)
    best = max(trials, key=lambda trial: trial.reward or 0.0).id
    parents = Counter(greedy.propose(5, generator(3, n)).parent for n in range(300))
    # With replacement, the best of five is missed with the probability 0.8^5 = 0.33.
    assert parents[best] / 300 == pytest.approx(1 - 0.8**5, abs=4 * (0.67 * 0.33 / 300) ** 0.5)
    random = RegularizedEvolution(SPACE, population=5, sample=1)
    play(random, 5, 1)
    assert set(Counter(random.propose(5, generator(3, n)).parent for n in range(300))) == set(range(5))


def test_a_mutation_counts_where_decisions_are_fixed() -> None:
    space = ConvChainSpace(depths=(2, 4))
    trials = play(RegularizedEvolution(space, 3, 2, fixed={0: {"depth": "2"}}), 60, 1)
    for trial in trials[3:]:
        assert trial.genotype["depth"] == "2"
        assert trials[trial.proposal.parent or 0].genotype.distance(trial.genotype) == 1
    everything = {decision.name: decision.options[0] for decision in SPACE.decisions}
    full = RegularizedEvolution(SPACE, 1, 1, fixed={0: everything})
    play(full, 1, 1)
    with pytest.raises(ValueError, match=r"NasBench201Space holds one architecture only with cell.* fixed: there is"):
        full.ask(1, generator=generator(0))


# --- schedules and refusals -----------------------------------------------------------------------------------------


def test_fidelities_follow_the_number_of_the_trial() -> None:
    inner = Listener(SPACE, Fidelity(epochs=50))
    trials = play(FidelitySchedule(inner, {7: RUNGS[2], 0: RUNGS[0], 3: RUNGS[1]}), 5, 2)
    assert [trial.proposal.fidelity.epochs for trial in trials] == [1, 1, 1, 3, 3, 3, 3, 9, 9, 9]
    assert inner.__dict__["heard"] == trials
    plain = play(UniformSampler(SPACE), 5, 2)
    assert [trial.genotype for trial in trials] == [trial.genotype for trial in plain]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: SuccessiveHalving(s, RUNGS[:1]), r"rungs with epochs \[1\]\): give two or more, each with more"),
        (lambda s: SuccessiveHalving(s, RUNGS[::-1]), r"rungs with epochs \[9, 3, 1\]\): give two or more"),
        (lambda s: SuccessiveHalving(s, [RUNGS[0]] * 2), r"rungs with epochs \[1, 1\]\): give two or more"),
        (lambda s: SuccessiveHalving(s, RUNGS, keep=0.0), r"SuccessiveHalving\(keep=0.0\): give a share between 0 and"),
        (lambda s: SuccessiveHalving(s, RUNGS, keep=1), r"SuccessiveHalving\(keep=1\): give a share between 0 and 1"),
        (lambda s: FidelitySchedule(s, {3: RUNGS[0]}), r"begins with trial 3: give a fidelity for trial 0 too"),
        (lambda s: FidelitySchedule(s, {}), r"begins with trial None: give a fidelity for trial 0 too"),
        (lambda s: RegularizedEvolution(SPACE, 0, 0), r"population=0, sample=0\): give a population of at least 1"),
        (lambda s: RegularizedEvolution(SPACE, 3, 4), r"population=3, sample=4\): .* between 1 and the population"),
        (lambda s: RegularizedEvolution(SPACE, 3, 0), r"population=3, sample=0\): .* between 1 and the population"),
    ],
)
def test_bad_arguments(make: Callable[[Sampler], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(UniformSampler(SPACE))
