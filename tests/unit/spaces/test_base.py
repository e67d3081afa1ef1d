"""Search spaces with conditional decisions, as a chain of variable depth has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import pytest
import torch
from torch import Tensor, nn

from lightning_nas import Decision, EdgeGroup, Genotype, NetworkOutput, SearchSpace, Skeleton
from lightning_nas.architecture.decisions import Condition
from lightning_nas.architecture.edges import Edge, EdgeWeights
from lightning_nas.execution.reference import DropPath, FanOut, FanOutEdge, Identity
from lightning_nas.testing import BoringSkeleton, BoringSpace, SpaceContract
from lightning_nas.testing.space import enumerated


@dataclass(frozen=True)
class RowSkeleton(Skeleton):
    @property
    def minimum_size(self) -> int:
        return 1


class ChainSpace(SearchSpace):
    """One to three convolutions; the kernel of the second and third counts only if they exist."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        depths = ("1", "2", "3")
        layers = [Decision(f"layer.{i}", ("1", "3"), Condition("depth", depths[i:])) for i in (1, 2)]
        return (Decision("depth", depths), Decision("layer.0", ("1", "3")), *layers)

    def build(self, genotype: Genotype, skeleton: Skeleton) -> nn.Module:
        return Chain(tuple(int(option) for name, option in genotype if name != "depth"), skeleton)

    def skeleton(self, **sizes: object) -> RowSkeleton:
        return RowSkeleton(**sizes)  # type: ignore[arg-type]


class Chain(nn.Module):
    def __init__(self, kernels: tuple[int, ...], skeleton: Skeleton) -> None:
        super().__init__()
        widths = [skeleton.in_channels, *[skeleton.channels] * len(kernels)]
        self.layers = nn.Sequential(
            *(nn.Conv2d(a, b, k, padding=k // 2) for a, b, k in zip(widths, widths[1:], kernels, strict=False))
        )
        self.classifier = nn.Linear(skeleton.channels, skeleton.classes)

    def forward(self, images: Tensor) -> NetworkOutput:
        return NetworkOutput(self.classifier(self.layers(images).mean((2, 3))))


class TestChainSpace(SpaceContract):
    def space(self) -> ChainSpace:
        return ChainSpace()

    def skeleton(self) -> RowSkeleton:
        return RowSkeleton(channels=4)


def test_size_counts_active_decisions_only() -> None:
    assert ChainSpace().size == 2 + 4 + 8 == len(list(enumerated(ChainSpace().decisions)))


def test_inactive_decisions_are_neither_sampled_nor_accepted() -> None:
    space = ChainSpace()
    seen = {len(space.sample(torch.Generator().manual_seed(seed)).choices) for seed in range(20)}
    assert seen == {2, 3, 4}
    with pytest.raises(ValueError, match=r"decides 'layer\.2', no active decision of ChainSpace"):
        space.genotype({"depth": "2", "layer.0": "1", "layer.1": "1", "layer.2": "1"})


def test_a_deeper_neighbour_gets_its_new_layer() -> None:
    space = ChainSpace()
    genotype = space.genotype({"layer.0": "3", "depth": "1"})
    assert genotype.choices == (("depth", "1"), ("layer.0", "3"))
    found = {space.mutate(genotype, torch.Generator().manual_seed(seed)) for seed in range(100)}
    assert len(found) == 1 + 2 + 4
    assert all(neighbour["depth"] != "1" or neighbour["layer.0"] == "1" for neighbour in found)


def test_one_architecture_cannot_mutate() -> None:
    class Single(ChainSpace):
        decisions = (Decision("layer.0", ("3",)),)

    space = Single()
    with pytest.raises(ValueError, match="Single holds one architecture only"):
        space.mutate(space.genotype({"layer.0": "3"}), torch.Generator())


def test_spaces_without_text_say_so() -> None:
    with pytest.raises(NotImplementedError, match=r"ChainSpace has no published text format; use Genotype\.load"):
        ChainSpace().parse("")
    with pytest.raises(NotImplementedError, match=r"use Genotype\.save"):
        ChainSpace().format(Genotype("ChainSpace", ()))


def test_only_genotypes_are_in_a_space() -> None:
    assert "text" not in ChainSpace()
    assert Genotype("ChainSpace", (("depth", "1"),)) not in ChainSpace()


def test_kept_and_connections_of_a_boring_space() -> None:
    space = BoringSpace()
    genotype = space.genotype({"cell.1_0": "skip_connect", "cell.2_0": "avg_pool_3x3", "cell.2_1": "nor_conv_3x3"})
    assert space.selection(genotype) == {"cell": (1, 0, 2)}
    assert space.kept(genotype) == {"cell": ((1,), (0,), (2,))}
    assert space.kept(None) == {"cell": ((0, 1, 2),) * 3}
    assert space.connections(genotype)["cell"][2] == (Edge(2, 1), "nor_conv_3x3")
    assert space.path(genotype)["cell"].values.tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_edges_have_keys_with_and_without_a_slot() -> None:
    assert Edge(3, 0).key == "3_0"
    assert Edge(3, 0, slot=1).key == "3_1_0"
    assert EdgeGroup("cell", (Edge(1, 0),), ("a", "b")).shape == (1, 2)


def test_a_fan_out_skips_edges_without_an_active_candidate() -> None:
    names, edges = ("skip", "relu"), [FanOutEdge(row, node, f"{node}_0") for row, node in ((0, 1), (1, 2))]
    operations = nn.ModuleDict({edge.key: nn.ModuleDict({"skip": Identity(), "relu": nn.ReLU()}) for edge in edges})
    state = torch.tensor([-1.0, 2.0]).reshape(1, 1, 1, 2)
    fan_out = FanOut(operations, names, edges, DropPath())
    weights = EdgeWeights(torch.tensor([[0.5, 0.25], [2.0, 4.0]]), active=((), (1,)))
    ((node, value),) = fan_out(state, weights)
    assert node == 2
    assert value.flatten().tolist() == [0.0, 8.0]
    both = dict(fan_out(state, EdgeWeights(weights.values)))
    assert both[1].flatten().tolist() == [-0.5, 1.5]
    ((_, value),) = fan_out(state, EdgeWeights(weights.values, ((), (1,)), inactive_gradient=True))
    assert value.flatten().tolist() == [2.0, 10.0]


def test_drop_path_drops_samples_and_spares_the_identity() -> None:
    drop = DropPath()
    x = torch.ones(2000, 3, 2, 2)
    assert drop(x) is x
    drop.probability = 0.25
    assert drop.eval()(x) is x
    dropped = drop.train()(x)
    per_sample = dropped.flatten(1)
    assert bool(((per_sample == 0).all(1) | (per_sample == 1 / 0.75).all(1)).all())
    assert abs(float((per_sample[:, 0] == 0).float().mean()) - 0.25) < 0.04
    drop.probability = 1 - 1e-9
    identity, relu = (
        FanOut(nn.ModuleDict({"1_0": nn.ModuleDict({"op": module})}), ["op"], [FanOutEdge(0, 1, "1_0")], drop)
        for module in (Identity(), nn.ReLU())
    )
    assert torch.equal(dict(identity(x, None))[1], x)
    assert float(dict(relu(x, None))[1].detach().abs().max()) == 0.0


@pytest.mark.parametrize("shape", [(64, 3, 5), (64, 3), (64, 3, 2, 2, 2)])
def test_drop_path_keeps_the_shape_whatever_the_dimensions(shape: tuple[int, ...]) -> None:
    drop = DropPath().train()
    drop.probability = 0.5
    dropped = drop(torch.ones(shape))
    assert dropped.shape == shape
    values = dropped.flatten(1)
    assert bool(((values == 0).all(1) | (values == 2).all(1)).all())
    assert 0 < int((values[:, 0] == 0).sum()) < len(values)


def test_a_broken_path_is_named() -> None:
    space = BoringSpace()
    supernet = space.build(None, BoringSkeleton())
    broken = EdgeWeights(torch.ones(3, 3), active=((), (), ()))
    with pytest.raises(ValueError, match="No edge leads to state 1 of a 'cell' cell"):
        supernet(torch.zeros(1, 3, 8, 8), {"cell": broken})
