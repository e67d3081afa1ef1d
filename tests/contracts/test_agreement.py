"""Supernets and children agree with a plain transcription of the published definitions: outputs and all gradients."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from helpers.agreement import BOUND, error, images, tensors, used
from lightning_nas import CellSkeleton, EdgeWeights, StagedSkeleton
from lightning_nas.spaces import DartsSpace, NasBench201Space
from lightning_nas.spaces.darts import DARTS_CANDIDATES
from lightning_nas.spaces.nasbench201 import NASBENCH201_CANDIDATES
from reference import darts, nasbench201
from reference.layers import mixture

pytestmark = pytest.mark.slow

STEMS = ("cifar", "imagenet")


def skeleton(stem: str) -> CellSkeleton:
    return CellSkeleton(cells=3, channels=4, classes=5, stem=stem, auxiliary=True)  # type: ignore[arg-type]


def batch(stem: str, training: bool) -> Tensor:
    """In training such that the auxiliary head gets what the authors' heads take: 8x8 and 7x7 features."""
    large, small = (32, 16) if stem == "cifar" else (224, 64)
    return images(large if training else small)


def random_genes(source: random.Random) -> list[tuple[str, int]]:
    """A cell in the text of the DARTS authors, made without the package."""
    genes = []
    for node in range(2, 6):
        genes += [(source.choice(darts.CANDIDATES[1:]), state) for state in source.sample(range(node), 2)]
    return genes


def dense(alpha: Tensor) -> Tensor:
    return alpha.softmax(-1)


def test_candidates_have_the_published_order() -> None:
    assert DARTS_CANDIDATES == darts.CANDIDATES
    assert NASBENCH201_CANDIDATES == nasbench201.CANDIDATES
    assert tuple((e.node, e.source) for e in DartsSpace().groups["reduce"].edges) == darts.EDGES
    assert tuple((e.node, e.source) for e in NasBench201Space().groups["cell"].edges) == nasbench201.EDGES


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("stem", STEMS)
def test_darts_supernet(stem: str, training: bool) -> None:
    supernet = used(DartsSpace().build(None, skeleton(stem))).train(training)
    alphas = [torch.randn(14, 8, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    x = batch(stem, training)
    values = dict(zip(("normal", "reduce"), map(dense, alphas), strict=True))
    # The reference first: a forward in train mode moves the running statistics.
    terms = {name: mixture(darts.EDGES, darts.CANDIDATES, value) for name, value in values.items()}
    options = {"stem": stem, "pool_norm": True, "auxiliary": training, "training": training}
    expected = darts.darts_forward(tensors(supernet), x, terms["normal"], terms["reduce"], 3, **options)
    found = supernet(x, {name: EdgeWeights(value) for name, value in values.items()})
    assert (found.auxiliary is not None) == training
    assert error(found, expected, [*alphas, *supernet.parameters()]) < BOUND


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("reduction", ["search", "fixed"])
def test_darts_child(reduction: str, stem: str, training: bool) -> None:
    space = DartsSpace(reduction=reduction)  # type: ignore[arg-type]
    for seed in range(2):
        source = random.Random(seed)
        normal, reduce = random_genes(source), random_genes(source) if reduction == "search" else None
        genotype = space.parse(f"Genotype(normal={normal}, reduce={reduce})")
        child = used(space.build(genotype, skeleton(stem))).train(training)
        x = batch(stem, training)
        expected = darts.darts_forward(
            tensors(child),
            x,
            darts.chosen(normal),
            darts.chosen(reduce) if reduce else None,
            3,
            stem=stem,
            auxiliary=training,
            training=training,
        )
        assert error(child(x), expected, list(child.parameters())) < BOUND


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_fixed_reduction_supernet(training: bool) -> None:
    supernet = used(DartsSpace(reduction="fixed").build(None, skeleton("cifar"))).train(training)
    alpha = torch.randn(14, 8, dtype=torch.float64, requires_grad=True)
    terms = mixture(darts.EDGES, darts.CANDIDATES, dense(alpha))
    options = {"pool_norm": True, "auxiliary": training, "training": training}
    expected = darts.darts_forward(tensors(supernet), batch("cifar", training), terms, None, 3, **options)
    found = supernet(batch("cifar", training), {"normal": EdgeWeights(dense(alpha))})
    assert error(found, expected, [alpha, *supernet.parameters()]) < BOUND


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_nasbench201_supernet(training: bool) -> None:
    supernet = used(NasBench201Space().build(None, StagedSkeleton(channels=4, cells_per_stage=2))).train(training)
    alpha = torch.randn(6, 5, dtype=torch.float64, requires_grad=True)
    terms = mixture(nasbench201.EDGES, nasbench201.CANDIDATES, dense(alpha))
    expected = nasbench201.nasbench201_forward(tensors(supernet), images(16), terms, 2, training=training)
    found = supernet(images(16), {"cell": EdgeWeights(dense(alpha))}).logits
    assert error([found], [expected], [alpha, *supernet.parameters()]) < BOUND


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_nasbench201_child(training: bool) -> None:
    space, source = NasBench201Space(), random.Random(0)
    for _ in range(5):
        names = [source.choice(nasbench201.CANDIDATES) for _ in range(6)]
        text = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*names)
        child = used(space.build(space.parse(text), StagedSkeleton(channels=4, cells_per_stage=2))).train(training)
        terms = nasbench201.chosen(text)
        expected = nasbench201.nasbench201_forward(tensors(child), images(16), terms, 2, training=training)
        assert error([child(images(16)).logits], [expected], list(child.parameters())) < BOUND
