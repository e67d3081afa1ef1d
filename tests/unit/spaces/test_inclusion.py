"""How likely candidates are part of the extracted network."""

from __future__ import annotations

import pytest
import torch

from helpers.supernet_cases import SEARCH_CASES as CASES
from lightning_nas.functional.relax import pair_shares, shares, without


def test_pairs() -> None:
    """Against all ordered pairs, drawn one after the other."""
    strength = torch.tensor([0.4, 0.1, 0.3, 0.2], dtype=torch.float64)
    expected = torch.zeros(4, dtype=torch.float64)
    for first in range(4):
        for second in set(range(4)) - {first}:
            chance = strength[first] * strength[second] / (1 - strength[first])
            expected[[first, second]] += chance
    assert torch.allclose(pair_shares(strength), expected, atol=1e-14)
    assert torch.allclose(pair_shares(7 * strength), expected, atol=1e-14)
    assert pair_shares(torch.tensor([0.5])).tolist() == [1.0]
    assert pair_shares(torch.tensor([1.0, 1e-9, 0.0])).tolist() == [1.0, 1.0, 0.0]


def test_zeros_stay_zeros() -> None:
    assert shares(torch.zeros(2)).tolist() == [0.0, 0.0]
    assert without(torch.tensor([[1.0, 0.0]]), [0]).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_finite(case: str) -> None:
    space, _ = CASES[case]
    alphas = {name: torch.randn(group.shape, requires_grad=True) for name, group in space.groups.items()}
    included = space.inclusion({name: alpha.softmax(-1) for name, alpha in alphas.items()})
    loss = sum((values * torch.randn_like(values)).sum() for values in included.values())
    for gradient in torch.autograd.grad(loss, list(alphas.values())):
        assert bool(gradient.isfinite().all())
        assert bool((gradient != 0).any())


@pytest.mark.parametrize("case", CASES)
def test_uniform_probabilities_give_the_shares_of_random_genotypes(case: str) -> None:
    space, _ = CASES[case]
    uniform = {name: torch.full(group.shape, 1 / group.shape[1]) for name, group in space.groups.items()}
    included, source, draws = space.inclusion(uniform), torch.Generator().manual_seed(0), 2000
    counted = {name: torch.zeros(group.shape) for name, group in space.groups.items()}
    for _ in range(draws):
        for name, weights in space.path(space.sample(source)).items():
            counted[name] += weights.values / draws
    for name, values in included.items():
        assert float((counted[name] - values).abs().max()) < 0.06  # 5 standard errors of a share of one half
