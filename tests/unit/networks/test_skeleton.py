"""Skeletons and norms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lightning_nas import CellSkeleton, Norm, StagedSkeleton
from lightning_nas.execution.norm import BatchNorm, batch_statistics, synchronize
from lightning_nas.inheritance.recalibration import recalibrate
from lightning_nas.spaces import DartsSpace, NasBench201Space


@pytest.mark.parametrize(
    ("cells", "reductions"), [(1, (0,)), (2, (0, 1)), (3, (1, 2)), (8, (2, 5)), (14, (4, 9)), (20, (6, 13))]
)
def test_reductions(cells: int, reductions: tuple[int, ...]) -> None:
    assert CellSkeleton(cells=cells).reductions == reductions


@pytest.mark.parametrize(
    ("arguments", "least"),
    [
        ({}, 4),
        ({"cells": 1}, 2),
        ({"stem": "imagenet"}, 32),
        ({"auxiliary": True}, 29),
        ({"auxiliary": True, "stem": "imagenet"}, 193),
    ],
)
def test_minimum_size(arguments: dict[str, Any], least: int) -> None:
    assert CellSkeleton(**arguments).minimum_size == least


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (CellSkeleton, {"cells": 0}),
        (CellSkeleton, {"channels": 0}),
        (CellSkeleton, {"classes": 1}),
        (CellSkeleton, {"in_channels": 0}),
        (CellSkeleton, {"stem_multiplier": 0}),
        (CellSkeleton, {"stem": "mnist"}),
        (StagedSkeleton, {"cells_per_stage": 0}),
    ],
)
def test_bad_sizes_are_named(cls: type, arguments: dict[str, Any]) -> None:
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=rf"{cls.__name__}\({name}={value!r}\): give"):
        cls(**arguments)


def test_the_imagenet_stem_needs_two_channels() -> None:
    with pytest.raises(ValueError, match=r"CellSkeleton\(channels=1\): the ImageNet stem"):
        CellSkeleton(channels=1, stem="imagenet")


def test_norms_are_the_papers_unless_given() -> None:
    skeleton = CellSkeleton()
    assert (skeleton.edge_norm(supernet=True).affine, skeleton.edge_norm(supernet=False).affine) == (False, True)
    assert (skeleton.with_pool_norm(supernet=True), skeleton.with_pool_norm(supernet=False)) == (True, False)
    given = CellSkeleton(norm=Norm(affine=False, statistics="batch"), pool_norm=False)
    assert given.edge_norm(supernet=False) == given.norm
    assert given.outer_norm() == Norm(affine=True, statistics="batch")
    assert given.with_pool_norm(supernet=True) is False


def test_norm_with_batch_statistics_has_no_running_ones() -> None:
    norm = Norm(statistics="batch").build(3).eval()
    assert norm.running_mean is None
    x = torch.randn(8, 3, 4, 4) + 5
    assert abs(float(norm(x).mean().detach())) < 1e-5


def test_batch_statistics_for_a_while() -> None:
    network = nn.Sequential(Norm().build(3), Norm(affine=False).build(3)).eval()
    x = torch.randn(8, 3, 4, 4) + 5
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with batch_statistics(network):
        assert abs(float(network(x).mean().detach())) < 1e-5
    assert float(network(x).mean().detach()) > 4
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert not any(module.use_batch_statistics for module in network.modules() if isinstance(module, BatchNorm))


def test_what_all_norms_get_from_one() -> None:
    norm = Norm(affine=False, statistics="batch", sync=True)
    assert CellSkeleton(norm=norm).outer_norm() == Norm(affine=True, statistics="batch", sync=True)
    for space, skeleton in ((DartsSpace(), CellSkeleton), (NasBench201Space(), StagedSkeleton)):
        norms = [m for m in space.build(None, skeleton(norm=norm)).modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        assert all(isinstance(module, BatchNorm) and module.sync for module in norms)


def test_one_process_shares_with_nobody() -> None:
    norm = Norm(sync=True).build(3)
    synchronize(norm, True)
    assert not norm.synchronized
    norm(torch.randn(8, 3, 4, 4))


def test_what_is_not_training_shares_with_nobody() -> None:
    """Other processes may not be there to answer: one may score a path or recalibrate alone."""
    network = nn.Sequential(Norm(sync=True).build(3))
    network[0].synchronized = True  # as among several processes
    x = torch.randn(8, 3, 4, 4) + 5
    with pytest.raises(ValueError, match="process group"):
        network(x)
    network.eval()(x)
    with batch_statistics(network):
        network(x)
    assert recalibrate(network, [x], lambda batch: batch) == 1
    assert network[0].synchronized
    assert float(network[0].running_mean.mean()) > 4
