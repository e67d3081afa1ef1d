"""A candidate stands in one place: removing or exchanging it in a cell changes what runs, whatever the execution."""

from __future__ import annotations

import copy
import pickle
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from lightning_nas import CellSkeleton, EdgeWeights, Execution, StagedSkeleton, SupernetSpace
from lightning_nas.networks.cells import EdgeCell
from lightning_nas.spaces import DartsSpace, NasBench201Space

SPACES: dict[str, tuple[SupernetSpace, StagedSkeleton | CellSkeleton, str]] = {
    "nasbench201": (NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1), "1_0"),
    "darts": (DartsSpace(nodes=2), CellSkeleton(cells=2, channels=4), "3_2"),
}
IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Doubled(nn.Module):
    """A candidate of a class that no other edge has."""

    def forward(self, x: Tensor) -> Tensor:
        return 2.0 * x


def built(name: str, execution: Execution) -> tuple[SupernetSpace, nn.Module]:
    space, skeleton, _ = SPACES[name]
    torch.manual_seed(0)
    return space, space.build(None, skeleton, execution).double()


def architecture(space: SupernetSpace, active: bool = False) -> dict[str, EdgeWeights]:
    source = torch.Generator().manual_seed(1)
    found = {}
    for name, group in space.groups.items():
        values = torch.rand(group.shape, generator=source, dtype=torch.float64).softmax(-1)
        last = tuple((group.shape[1] - 1,) for _ in range(group.shape[0]))
        found[name] = EdgeWeights(values, last if active else None)
    return found


def edges_of(network: nn.Module, key: str) -> list[nn.ModuleDict]:
    """The candidates of an edge in all cells that have it."""
    cells = [module for module in network.modules() if isinstance(module, EdgeCell)]
    return [cast(nn.ModuleDict, cell.edges[key]) for cell in cells]


@pytest.mark.parametrize("mode", ["fan_out", "edge_by_edge"])
@pytest.mark.parametrize("name", SPACES)
def test_a_removed_candidate_does_not_run(name: str, mode: str) -> None:
    key = SPACES[name][2]
    space, network = built(name, Execution(mode))  # type: ignore[arg-type]
    before = network(IMAGES, architecture(space)).logits
    first = next(iter(space.groups.values()))
    column = 2  # a pool or a convolution
    for candidates in edges_of(network, key):
        del candidates[first.candidates[column]]
    after = network(IMAGES, architecture(space)).logits
    assert not torch.allclose(before, after)
    whole, values = built(name, Execution("edge_by_edge"))[1], architecture(space)
    for group_name, group in space.groups.items():
        row = [edge.key for edge in group.edges].index(key)
        values[group_name].values[row, column] = 0.0
    torch.testing.assert_close(after, whole(IMAGES, values).logits, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", ["fan_out", "edge_by_edge"])
@pytest.mark.parametrize("name", SPACES)
def test_an_exchanged_candidate_runs_in_place_of_the_first(name: str, mode: str) -> None:
    key = SPACES[name][2]
    space, network = built(name, Execution(mode))  # type: ignore[arg-type]
    network(IMAGES, architecture(space))  # what was there before has run once
    _, reference = built(name, Execution("edge_by_edge"))
    for changed in (network, reference):
        changed.train()
        for candidates in edges_of(changed, key):
            for candidate in list(candidates)[1:3]:
                candidates[candidate] = Doubled()
    network.load_state_dict(reference.state_dict())
    found, expected = (side(IMAGES, architecture(space)).logits for side in (network, reference))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    _, unchanged = built(name, Execution(mode))  # type: ignore[arg-type]
    assert not torch.allclose(found, unchanged(IMAGES, architecture(space)).logits)


def test_a_convolution_of_another_size_runs_beside_those_of_its_name() -> None:
    """Operations run as one only if their settings are equal, not because they stand under one name."""
    space, network = built("darts", Execution())
    _, reference = built("darts", Execution("edge_by_edge"))
    for changed in (network, reference):
        torch.manual_seed(2)
        for candidates in edges_of(changed, "2_0"):
            candidates["sep_conv_3x3"] = copy.deepcopy(candidates["sep_conv_5x5"])
    found, expected = (side(IMAGES, architecture(space)).logits for side in (network, reference))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("mode", ["fan_out", "edge_by_edge"])
def test_a_path_through_a_removed_candidate_is_refused(mode: str) -> None:
    space, network = built("nasbench201", Execution(mode))  # type: ignore[arg-type]
    for candidates in edges_of(network, "1_0"):
        del candidates["avg_pool_3x3"]
    message = r"The architecture runs 'avg_pool_3x3' on edge 1_0, which has none, skip_connect.*: give one"
    with pytest.raises(ValueError, match=message):
        network(IMAGES, architecture(space, active=True))


def test_a_removed_edge_leaves_the_others() -> None:
    space, network = built("nasbench201", Execution())
    for cell in network.modules():
        if isinstance(cell, EdgeCell):
            del cell.edges["2_0"]
    values = architecture(space)
    found = network(IMAGES, values).logits
    row = [edge.key for edge in space.groups["cell"].edges].index("2_0")
    values["cell"].values[row] = 0.0
    _, whole = built("nasbench201", Execution("edge_by_edge"))
    torch.testing.assert_close(found, whole(IMAGES, values).logits, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", SPACES)
def test_copies_run_their_own_candidates(name: str) -> None:
    space, network = built(name, Execution())
    expected = network.eval()(IMAGES, architecture(space)).logits
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):  # noqa: S301 - our own bytes
        for parameter in network.parameters():
            parameter.data.zero_()
        torch.testing.assert_close(copied(IMAGES, architecture(space)).logits, expected, rtol=0, atol=0)
        network.load_state_dict(copied.state_dict())


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Execution\(mode='fast'\): give 'fan_out' or 'edge_by_edge'\."):
        Execution("fast")  # type: ignore[arg-type]
