"""Losses and draws of policies against torch.distributions and against sums over all outcomes, in float64."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Categorical, kl_divergence

from lightning_nas.functional.policy import (
    bernoulli,
    categorical,
    draw_bits,
    draw_option,
    ppo_loss,
    reinforce_loss,
    shaped,
    skip_divergence,
)
from lightning_nas.runtime.seeding import generator

# Both sides are float64 and differ in the order of a few operations.
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def random(*shape: int, scale: float = 3.0) -> Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=generator(0, *shape))


def test_categorical() -> None:
    logits, index = random(7, 5), torch.arange(7) % 5
    log_prob, entropy = categorical(logits, index)
    reference = Categorical(logits=logits)
    torch.testing.assert_close(log_prob, reference.log_prob(index), **CLOSE)
    torch.testing.assert_close(entropy, reference.entropy(), **CLOSE)


def test_bernoulli() -> None:
    logits, bits = random(6, 4), torch.rand(6, 4, generator=generator(1)) < 0.5
    log_prob, entropy = bernoulli(logits, bits)
    reference = Bernoulli(logits=logits)
    torch.testing.assert_close(log_prob, reference.log_prob(bits.double()).sum(-1), **CLOSE)
    torch.testing.assert_close(entropy, reference.entropy().sum(-1), **CLOSE)


def test_certain_decisions_are_finite() -> None:
    logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
    for log_prob, entropy in (
        categorical(logits, torch.tensor([1])),
        bernoulli(logits, torch.tensor([[False, True]])),
    ):
        assert log_prob.item() == pytest.approx(-400.0)
        assert entropy.item() == pytest.approx(0.0, abs=1e-6)
        (gradient,) = torch.autograd.grad(log_prob.sum() + entropy.sum(), logits)
        assert gradient.isfinite().all()


@pytest.mark.parametrize("temperature", [None, 5.0, 0.5])
@pytest.mark.parametrize("constant", [None, 1.1, 1.5 / 2.5])
def test_shaped(temperature: float | None, constant: float | None) -> None:
    logits = random(4, 5)
    expected = []
    for value in logits.flatten().tolist():
        value = value / (temperature or 1.0)
        expected.append(constant * math.tanh(value) if constant else value)
    assert shaped(logits, temperature, constant).flatten().tolist() == pytest.approx(expected, rel=1e-12)
    if temperature is None and constant is None:
        assert shaped(logits) is logits, "nothing is computed where nothing is asked"
    if temperature and constant:
        other = shaped(shaped(logits, None, constant), temperature)
        assert not torch.allclose(shaped(logits, temperature, constant), other), "the order does not count"


@pytest.mark.parametrize("target", [0.4, 0.8])
def test_skip_divergence(target: float) -> None:
    logits = random(6, 4).requires_grad_()
    found = skip_divergence(logits, target)
    reference = kl_divergence(Bernoulli(logits=logits), Bernoulli(torch.tensor(target, dtype=torch.float64))).sum(-1)
    torch.testing.assert_close(found, reference, **CLOSE)
    # As the authors of ENAS write it, over {no skip, skip}.
    both = torch.stack([-logits, logits], -1).sigmoid()
    authors = (both * torch.log(both / torch.tensor([1.0 - target, target], dtype=torch.float64))).sum((1, 2))
    torch.testing.assert_close(found, authors, **CLOSE)
    for one, other in zip(*(torch.autograd.grad(value.sum(), logits) for value in (found, authors)), strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


def test_skip_divergence_is_zero_at_its_target_and_finite_far_away() -> None:
    at = torch.full((1, 3), math.log(0.4 / 0.6), dtype=torch.float64, requires_grad=True)
    assert skip_divergence(at, 0.4).item() == pytest.approx(0.0, abs=1e-12)
    assert torch.autograd.grad(skip_divergence(at, 0.4).sum(), at)[0].abs().max() < 1e-12
    far = torch.tensor([[200.0, -200.0]], requires_grad=True)
    assert skip_divergence(far, 0.4).item() == pytest.approx(-math.log(0.4) - math.log(0.6))
    assert torch.autograd.grad(skip_divergence(far, 0.4).sum(), far)[0].isfinite().all()


def test_the_gradient_of_reinforce_is_the_policy_gradient() -> None:
    """By enumeration: two decisions and two bits, whose expected reward has a gradient of its own."""
    tables = [random(3).requires_grad_(), random(4, scale=1.0).requires_grad_()]
    anchors = random(2).requires_grad_()
    parameters = [*tables, anchors]
    outcomes = list(itertools.product(range(3), range(4), (False, True), (False, True)))
    rewards = random(len(outcomes), scale=1.0)

    def log_probs() -> Tensor:
        found = torch.zeros(len(outcomes), dtype=torch.float64)
        for position, table in enumerate(tables):
            index = torch.tensor([outcome[position] for outcome in outcomes])
            found = found + categorical(table.expand(len(outcomes), -1), index)[0]
        bits = torch.tensor([outcome[2:] for outcome in outcomes])
        return found + bernoulli(anchors.expand(len(outcomes), -1), bits)[0]

    probabilities = log_probs().exp()
    assert probabilities.sum().item() == pytest.approx(1.0, abs=1e-12)
    exact = torch.autograd.grad((probabilities * rewards).sum(), parameters)
    # The expected gradient of the loss, with each outcome as often as its probability; any baseline leaves it as it is.
    for baseline in (0.0, 0.7):
        weights = probabilities.detach() * len(outcomes)
        loss = reinforce_loss(log_probs(), weights * (rewards - baseline))
        for found, expected in zip(torch.autograd.grad(loss, parameters), exact, strict=True):
            torch.testing.assert_close(found, -expected, **CLOSE)


def test_reinforce_is_a_mean() -> None:
    log_prob, advantage = torch.tensor([-1.0, -3.0], requires_grad=True), torch.tensor([2.0, -4.0])
    loss = reinforce_loss(log_prob, advantage)
    assert loss.item() == pytest.approx((2.0 - 12.0) / 2)
    (gradient,) = torch.autograd.grad(loss, log_prob)
    assert gradient.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected", "flat"),
    [
        (1.0, 2.0, -2.0, False),
        (1.1, 2.0, -2.2, False),
        (1.5, 2.0, -2.4, True),  # likelier than 1.2 times earns nothing more
        (0.5, 2.0, -1.0, False),  # what became less likely, though it was good, is corrected in full
        (1.0, -2.0, 2.0, False),
        (0.9, -2.0, 1.8, False),
        (0.5, -2.0, 1.6, True),
        (1.5, -2.0, 3.0, False),
    ],
)
def test_ppo_clips_what_goes_too_far(ratio: float, advantage: float, expected: float, flat: bool) -> None:
    old = torch.tensor([-5.0], dtype=torch.float64)
    new = (old + math.log(ratio)).requires_grad_()
    loss = ppo_loss(new, old, torch.tensor([advantage], dtype=torch.float64), clip=0.2)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    (gradient,) = torch.autograd.grad(loss, new)
    assert gradient.item() == pytest.approx(0.0 if flat else -advantage * ratio, rel=1e-12)


def test_the_first_step_of_ppo_is_reinforce() -> None:
    log_prob, advantage = random(6).requires_grad_(), random(6, scale=1.0)
    losses = ppo_loss(log_prob, log_prob.detach(), advantage, 0.2), reinforce_loss(log_prob, advantage)
    one, other = (torch.autograd.grad(loss, log_prob)[0] for loss in losses)
    torch.testing.assert_close(one, other, **CLOSE)


def test_draws_have_the_probabilities() -> None:
    source, count = generator(0, "draws"), 4000
    logits = torch.tensor([0.0, 1.0, -1.0, 2.0], requires_grad=True)
    options = [int(draw_option(logits[None], source)) for _ in range(count)]
    bits = torch.cat([draw_bits(logits[None], source) for _ in range(count)]).double()
    for index, p in enumerate(logits.detach().double().softmax(-1).tolist()):
        deviation = math.sqrt(p * (1 - p) / count)
        assert options.count(index) / count == pytest.approx(p, abs=4 * deviation)
    for on, p in zip(bits.mean(0).tolist(), logits.detach().double().sigmoid().tolist(), strict=True):
        assert on == pytest.approx(p, abs=4 * math.sqrt(p * (1 - p) / count))
    # Independent bits: no correlation beyond four standard deviations.
    assert (torch.corrcoef(bits.T) - torch.eye(4)).abs().max() < 4 / math.sqrt(count)


def test_draws_repeat_with_the_generator() -> None:
    logits = random(2, 5)
    options, bits = zip(
        *((draw_option(logits, g), draw_bits(logits, g)) for g in (generator(3), generator(3))), strict=True
    )
    assert torch.equal(*options)
    assert torch.equal(*bits)


def test_options_are_those_of_multinomial() -> None:
    """A run of an earlier version, which drew with it, is continued exactly."""
    one, other = generator(4), generator(4)
    for _ in range(200):
        logits = random(1, 5)
        expected = torch.multinomial(logits[0].double().softmax(-1), 1, generator=one)
        assert torch.equal(draw_option(logits, other), expected)
