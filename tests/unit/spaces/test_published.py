"""Published cells: their networks have the parameter counts of the authors' code, and of a closed form."""

from __future__ import annotations

import ast
from typing import Any

import pytest
import torch
from torch import nn

from lightning_nas import CellSkeleton, StagedSkeleton
from lightning_nas.spaces import DartsSpace, NasBench201Space, published, published_names
from lightning_nas.spaces.published import _DARTS, _FIXED_REDUCTION, _NASNET
from reference import counts

SIZES: dict[str, dict[str, Any]] = {
    "cifar10": {"cells": 20, "channels": 36, "classes": 10},
    "imagenet": {"cells": 14, "channels": 48, "classes": 1000, "stem": "imagenet"},
}


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def genes(name: str) -> dict[str, Any]:
    """The fields of the published text, read without the package."""
    call = ast.parse({**_DARTS, **_FIXED_REDUCTION, **_NASNET}[name], mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def test_every_published_cell_has_a_count() -> None:
    assert set(published_names()) == set(counts.AUTHORS_CHILDREN)


@pytest.mark.parametrize(
    ("sizes", "auxiliary"),
    [
        pytest.param("cifar10", False, id="cifar10-plain"),
        pytest.param("cifar10", True, id="cifar10-auxiliary", marks=pytest.mark.long),
        pytest.param("imagenet", False, id="imagenet-plain", marks=pytest.mark.long),
        pytest.param("imagenet", True, id="imagenet-auxiliary"),
    ],
)
@pytest.mark.parametrize("name", published_names())
def test_parameters_of_a_child(name: str, sizes: str, auxiliary: bool) -> None:
    space, genotype = published(name)
    with torch.device("meta"):
        network = space.build(genotype, CellSkeleton(auxiliary=auxiliary, **SIZES[sizes]))
    fields = genes(name)
    normal, reduction = (len(fields.get(f"{cell}_concat", range(4))) for cell in ("normal", "reduce"))
    assert parameters(network) == counts.darts_network(
        fields["normal"], fields["reduce"], auxiliary=auxiliary, ends=(normal, reduction), **SIZES[sizes]
    )
    assert parameters(network) == getattr(counts.AUTHORS_CHILDREN[name], sizes)[auxiliary]


def test_parameters_of_the_darts_supernet() -> None:
    with torch.device("meta"):
        supernet = DartsSpace().build(None, DartsSpace().skeleton())
    assert parameters(supernet) == counts.darts_network(None, None, cells=8, channels=16, classes=10)
    assert parameters(supernet) == counts.AUTHORS_SUPERNETS["darts_8_cells"]


def test_parameters_of_the_nasbench201_supernet() -> None:
    with torch.device("meta"):
        supernet = NasBench201Space().build(None, StagedSkeleton(channels=16, cells_per_stage=5))
    assert parameters(supernet) == counts.nasbench201_network(None)
    assert parameters(supernet) == counts.AUTHORS_SUPERNETS["nasbench201_gdas"]


@pytest.mark.parametrize(
    ("reduction", "count"), [("search", "autodl_nasnet_gdas"), ("fixed", "autodl_nasnet_gdas_frc")]
)
def test_parameters_of_the_gdas_supernets(reduction: Any, count: str) -> None:
    """Those of the GDAS authors have besides a norm before the classifier, and biases whose effect the norms undo."""
    with torch.device("meta"):
        supernet = DartsSpace(reduction=reduction).build(None, CellSkeleton(cells=6, channels=16))
    convolutions = [module for module in supernet.cells.modules() if isinstance(module, nn.Conv2d)]
    biases = sum(conv.out_channels for conv in convolutions if conv.groups == 1 and conv.bias is None)
    assert isinstance(supernet.classifier, nn.Linear)
    norm = 2 * supernet.classifier.in_features
    assert parameters(supernet) + biases + norm == counts.AUTHORS_SUPERNETS[count]


@pytest.mark.parametrize("name", published_names())
def test_the_text_comes_back(name: str) -> None:
    space, genotype = published(name)
    assert genotype in space
    assert space.parse(space.format(genotype)) == genotype


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"published\('DARTS_V3'\): no such cell. Known are DARTS_V1, DARTS_V2"):
        published("DARTS_V3")
