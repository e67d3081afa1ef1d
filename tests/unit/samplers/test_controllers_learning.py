"""What controllers learn: baseline, losses of the rules, the direction of a step; seeds, configs and refusals."""

from __future__ import annotations

import json
from typing import Any

import lightning as L
import pytest
import torch

from helpers.controllers import CHAIN, FAST, KINDS, SMALL, both, rewarded, strong
from lightning_nas import LogitsController, LstmController, Ppo, Reinforce
from lightning_nas.config import instantiate
from lightning_nas.runtime.seeding import generator
from lightning_nas.samplers.controllers import Controller
from lightning_nas.spaces import NasBench201Space
from lightning_nas.testing import BoringSpace
from lightning_nas.testing.sampler import trials_of
from lightning_nas.trials.trial import Proposal, Trial

SPACE = NasBench201Space()


def test_the_baseline_is_an_average_without_bias() -> None:
    controller = LogitsController(SPACE, Reinforce(baseline_decay=0.9))
    assert controller.baseline is None
    rewards: list[float | None] = [0.5, 0.7, None, 0.1, 0.9]
    controller.tell(rewarded(controller, rewards[:2]))
    controller.tell(rewarded(controller, rewards[2:], 2))
    known = [reward for reward in rewards if reward is not None]
    weights = [0.9**age for age in reversed(range(len(known)))]
    expected = sum(w * r for w, r in zip(weights, known, strict=True)) / sum(weights)
    assert controller.baseline == pytest.approx(expected, rel=1e-12)
    assert controller.figures()["baseline"] == controller.baseline
    one = LogitsController(SPACE)
    one.tell(rewarded(one, [0.3]))
    assert one.baseline == pytest.approx(0.3)


def advantages(controller: Controller, trials: list[Trial], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(
        Reinforce, "losses", lambda self, score, advantage: found.extend(advantage.tolist()) or iter(())
    )
    list(controller.losses(trials))
    return found


def test_the_baseline_is_from_before_the_round(monkeypatch: pytest.MonkeyPatch) -> None:
    controller = LogitsController(SPACE)
    first = rewarded(controller, [0.2, None, 0.6])
    assert advantages(controller, first, monkeypatch) == pytest.approx([-0.2, 0.2]), "there is none yet: their mean"
    controller.tell(first)
    baseline = controller.baseline
    assert baseline is not None
    second = rewarded(controller, [1.0, 0.0], 3)
    assert advantages(controller, second, monkeypatch) == pytest.approx([1.0 - baseline, -baseline])
    assert controller.baseline == baseline, "asking for losses has no effect on it"


@both
def test_a_rewarded_genotype_becomes_likelier(kind: str) -> None:
    for rule in (Reinforce(), Ppo(entropy_weight=0.0)):
        controller = KINDS[kind](CHAIN, rule=rule, optimizer=FAST)
        trials = rewarded(controller, [1.0, 0.0])
        genotypes = [trial.genotype for trial in trials]
        optimizer = FAST.build(list(controller.parameters()))
        before = controller.score(genotypes, [()] * 2).log_prob.detach()
        for loss in controller.losses(trials):
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        after = controller.score(genotypes, [()] * 2).log_prob.detach()
        assert after[0] > before[0], rule
        assert after[1] < before[1], rule


@both
def test_entropy_that_counts_keeps_the_policy_open(kind: str) -> None:
    entropies = {}
    for weight in (0.0, 10.0):
        controller = strong(kind, SMALL, rule=Reinforce(entropy_weight=weight)).float()
        trials = rewarded(controller, [0.5, 0.5, 0.5])
        optimizer = FAST.build(list(controller.parameters()))
        for loss in controller.losses(trials):
            torch.autograd.backward(loss)
            optimizer.step()
        entropies[weight] = controller.score([t.genotype for t in trials], [()] * 3).entropy.mean().item()
    assert entropies[10.0] > entropies[0.0]


@both
def test_ppo_steps_on_the_policy_of_its_round(kind: str) -> None:
    controller = KINDS[kind](SPACE, rule=Ppo(entropy_weight=0.0, steps=3), optimizer=FAST)
    trials = rewarded(controller, [0.9, 0.1, 0.4])
    genotypes, fixed = [trial.genotype for trial in trials], [()] * 3
    advantage = torch.tensor([0.9, 0.1, 0.4]) - 1.4 / 3
    old = controller.score(genotypes, fixed).log_prob.detach()
    optimizer, losses = FAST.build(list(controller.parameters())), []
    for loss in controller.losses(trials):
        ratio = (controller.score(genotypes, fixed).log_prob.detach() - old).exp()
        expected = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
        assert loss.item() == pytest.approx(expected.item(), abs=1e-6)
        if not losses:
            assert ratio.tolist() == pytest.approx([1.0] * 3, abs=1e-6)
            assert loss.item() == pytest.approx(-advantage.mean().item(), abs=1e-6)
        losses.append(loss.item())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert len(losses) == 3
    assert losses[2] < losses[0]


@both
def test_the_beginning_follows_from_the_seed_alone(kind: str) -> None:
    def make(seed: int, noise: int) -> dict[str, torch.Tensor]:
        L.seed_everything(seed, verbose=False)
        torch.rand(noise)
        return dict(KINDS[kind](CHAIN).named_parameters())

    one, same, other = make(1, 0), make(1, 7), make(2, 0)
    for name, parameter in one.items():
        assert torch.equal(parameter, same[name]), name
        assert not torch.equal(parameter, other[name]), name
        assert parameter.abs().max() <= 0.08
        assert parameter.abs().max() > 0.0


def test_kinds_share_their_softmax() -> None:
    controller = LstmController(CHAIN, hidden=4)
    assert sorted(controller.heads) == [
        "depth_3",
        "layer_n_filters_4",
        "layer_n_height_4",
        "layer_n_stride_2",
        "layer_n_width_4",
    ]
    assert sum(p.numel() for p in LogitsController(BoringSpace()).parameters()) == 9


@both
def test_config_round_trip(kind: str) -> None:
    controller = KINDS[kind](CHAIN, rule=Ppo(steps=2, clip=0.1), optimizer=FAST, fixed={0: {"depth": "2"}})
    again = instantiate(json.loads(json.dumps(controller.config())))
    assert again.config() == controller.config()
    assert (again.rule, again.optimizer, again.fixed) == (controller.rule, FAST, {0: {"depth": "2"}})
    assert all(torch.equal(one, other) for one, other in zip(controller.parameters(), again.parameters(), strict=True))


def test_a_round_without_a_reward_teaches_nothing() -> None:
    controller = LstmController(SPACE)
    proposals: list[Proposal] = controller.ask(2, generator=generator(0, "ask"))
    trials = [*trials_of(proposals[:1], 0, failed=0), *trials_of(proposals[1:], 1, failed=0)]
    assert list(controller.losses(trials)) == []
    controller.tell(trials)
    assert controller.baseline is None
    assert controller.told == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Reinforce(entropy_weight=-1.0), r"Reinforce\(entropy_weight=-1.0\): give 0 or more"),
        (lambda: Ppo(baseline_decay=1.0), r"Ppo\(baseline_decay=1.0\): give a number in \[0, 1\)"),
        (lambda: Ppo(clip=0.0), r"Ppo\(clip=0.0, steps=4\): give a positive clip and at least one step"),
        (lambda: Ppo(steps=0), r"Ppo\(clip=0.2, steps=0\): give a positive clip and at least one step"),
        (
            lambda: Reinforce(skip_target=0.0),
            r"Reinforce\(skip_target=0.0\): give a number between 0 and 1, without these",
        ),
        (
            lambda: Ppo(skip_target=1.0),
            r"Ppo\(skip_target=1.0\): give a number between 0 and 1, without these",
        ),
        (lambda: Ppo(skip_weight=-0.8), r"Ppo\(skip_weight=-0.8\): give 0, which turns it off, or more"),
        (lambda: LstmController(SPACE, hidden=0), r"LstmController\(hidden=0\): give a positive number"),
        (lambda: LstmController(SPACE, layers=0), r"LstmController\(layers=0\): give a positive number"),
        (lambda: LstmController(SPACE, init_range=0.0), r"LstmController\(init_range=0.0\): give a positive number"),
        (
            lambda: LogitsController(CHAIN, fixed={0: {"depth": "3"}}),
            r"LogitsController\(fixed=...\): ConvChainSpace has no decision 'depth' with the option '3'\. Its decis",
        ),
        (
            lambda: LstmController(SPACE, fixed={0: {"depth": "3"}}),
            r"LstmController\(fixed=...\): NasBench201Space has no decision 'depth'",
        ),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
