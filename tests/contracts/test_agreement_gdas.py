"""The hard sample of GDAS and the forward that it drives agree with a plain transcription, and so do all gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from helpers.agreement import BOUND, error, images, tensors, used
from lightning_nas import CellSkeleton, GdasSearch, GumbelHard, StagedSkeleton
from lightning_nas.spaces import DartsSpace, NasBench201Space
from reference import darts, nasbench201
from reference.gdas import drawn, hard_sample

pytestmark = pytest.mark.slow

TAU = 2.0


def noise(seed: int, *shapes: tuple[int, int]) -> list[Tensor]:
    """Standard Gumbel numbers in the order of the groups, as the authors draw them: -log of exponential numbers."""
    source = torch.Generator().manual_seed(seed)
    return [-torch.empty(shape).exponential_(generator=source).log().double() for shape in shapes]


def alphas(*shapes: tuple[int, int]) -> list[Tensor]:
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("tau", [10.0, 1.0, 0.1])
def test_sample(tau: float) -> None:
    for seed in range(20):
        normal, reduce = alphas((14, 8), (14, 8))
        expected = [
            hard_sample(alpha, n, tau) for alpha, n in zip((normal, reduce), noise(seed, (14, 8), (14, 8)), strict=True)
        ]
        parameters = {"normal": {"alpha": normal}, "reduce": {"alpha": reduce}}
        found = GumbelHard(tau)(parameters, torch.Generator().manual_seed(seed))
        values = [found["normal"].values, found["reduce"].values]
        for weights in found.values():
            assert weights.active == tuple((int(row.argmax()),) for row in weights.values)
            assert set(weights.values.unique().tolist()) == {0.0, 1.0}
        assert error(values, expected, [normal, reduce]) < BOUND


@pytest.mark.parametrize("inactive", [True, False], ids=["undrawn_added", "drawn_only"])
def test_darts_forward(inactive: bool) -> None:
    supernet = used(DartsSpace().build(None, CellSkeleton(cells=3, channels=4)))
    normal, reduce = alphas((14, 8), (14, 8))
    for seed in range(3):
        architecture = GumbelHard(TAU, inactive)(
            {"normal": {"alpha": normal}, "reduce": {"alpha": reduce}}, torch.Generator().manual_seed(seed)
        )
        terms = [
            drawn(darts.EDGES, darts.CANDIDATES, hard_sample(alpha, n, TAU), add_undrawn=inactive)
            for alpha, n in zip((normal, reduce), noise(seed, (14, 8), (14, 8)), strict=True)
        ]
        expected, _ = darts.darts_forward(tensors(supernet), images(16), *terms, 3, pool_norm=True)
        found = supernet(images(16), architecture).logits
        assert error([found], [expected], [normal, reduce, *supernet.parameters()]) < BOUND


@pytest.mark.parametrize("inactive", [True, False], ids=["undrawn_added", "drawn_only"])
def test_nasbench201_forward(inactive: bool) -> None:
    supernet = used(NasBench201Space().build(None, StagedSkeleton(channels=4, cells_per_stage=1)))
    (alpha,) = alphas((6, 5))
    for seed in range(5):
        architecture = GumbelHard(TAU, inactive)({"cell": {"alpha": alpha}}, torch.Generator().manual_seed(seed))
        weights = hard_sample(alpha, *noise(seed, (6, 5)), TAU)
        terms = drawn(nasbench201.EDGES, nasbench201.CANDIDATES, weights, add_undrawn=inactive)
        expected = nasbench201.nasbench201_forward(tensors(supernet), images(16), terms, 1)
        found = supernet(images(16), architecture).logits
        assert error([found], [expected], [alpha, *supernet.parameters()]) < BOUND


def test_the_two_forwards_differ_in_the_architecture_gradient() -> None:
    supernet = used(NasBench201Space().build(None, StagedSkeleton(channels=4, cells_per_stage=1)))
    (alpha,) = alphas((6, 5))
    gradients = []
    for inactive in (True, False):
        architecture = GumbelHard(TAU, inactive)({"cell": {"alpha": alpha}}, torch.Generator().manual_seed(0))
        logits = supernet(images(16), architecture).logits
        gradients += torch.autograd.grad((logits * torch.arange(10)).sum(), [alpha])
    assert not torch.allclose(*gradients)


def test_defaults_are_the_authors() -> None:
    assert GdasSearch(NasBench201Space(), StagedSkeleton(channels=4)).relaxation.inactive_gradient is True
    assert GdasSearch(DartsSpace(), CellSkeleton(cells=2, channels=4)).relaxation.inactive_gradient is False
    search = GdasSearch(DartsSpace(), CellSkeleton(cells=2, channels=4), inactive_gradient=True)
    assert search.relaxation.inactive_gradient is True
