"""Pure functions behind the relaxations."""

from __future__ import annotations

import math

import torch

from lightning_nas.functional.relax import entropy, gumbel_noise, hard_gumbel_softmax
from lightning_nas.runtime.seeding import derive_seed, generator


def test_noise_is_gumbels() -> None:
    noise = gumbel_noise((200, 500), torch.Generator().manual_seed(0))
    assert bool(noise.isfinite().all())
    assert abs(float(noise.mean()) - 0.57722) < 0.02
    assert abs(float(noise.var()) - math.pi**2 / 6) < 0.03


def test_hard_samples_follow_the_probabilities() -> None:
    probabilities = torch.tensor([0.5, 0.3, 0.2])
    alpha = probabilities.log().expand(20_000, 3)
    for temperature in (10.0, 0.1):
        noise = gumbel_noise((20_000, 3), torch.Generator().manual_seed(0))
        values, index = hard_gumbel_softmax(alpha, noise, temperature)
        assert torch.equal(values.argmax(-1), index)
        torch.testing.assert_close(values.mean(0), probabilities, rtol=0, atol=0.02)


def test_values_are_exactly_one_hot_and_carry_the_soft_gradient() -> None:
    alpha = torch.randn(5000, 7, requires_grad=True)
    noise = gumbel_noise((5000, 7), torch.Generator().manual_seed(0))
    values, _ = hard_gumbel_softmax(alpha, noise, 0.7)
    assert set(values.unique().tolist()) == {0.0, 1.0}
    weights = torch.randn(5000, 7)
    soft = ((alpha.log_softmax(-1) + noise) / 0.7).softmax(-1)
    found, expected = (torch.autograd.grad((weights * x).sum(), alpha)[0] for x in (values, soft))
    torch.testing.assert_close(found, expected)


def test_entropy() -> None:
    assert float(entropy(torch.full((3, 4), 0.25))) == torch.tensor(4.0).log()
    assert float(entropy(torch.eye(3))) == 0.0


def test_seeds_depend_on_every_key() -> None:
    keys = [(0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1), (0, "a"), (0, "a", 1, 0)]
    seeds = {derive_seed(seed, *rest) for seed, *rest in keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert generator(0, "a", 1).initial_seed() == derive_seed(0, "a", 1)
