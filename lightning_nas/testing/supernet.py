"""The laws of spaces that have a supernet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_nas.architecture.edges import Architecture, EdgeWeights
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.execution.norm import Norm
from lightning_nas.networks.skeleton import NetworkOutput, Skeleton
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.testing.boring import shared
from lightning_nas.testing.execution import ExecutionContract, assert_equal
from lightning_nas.testing.space import sampled


def equal_norms(skeleton: Skeleton) -> Skeleton:
    """The skeleton with the same norms in supernet and child, which extraction needs to preserve the function."""
    pools: dict[str, Any] = {"pool_norm": True} if "pool_norm" in {field.name for field in fields(skeleton)} else {}
    return replace(skeleton, norm=Norm(affine=False), **pools)


def dense(space: SupernetSpace) -> Architecture:
    """Every candidate with the same weight."""
    return {name: EdgeWeights(torch.full(g.shape, 1 / g.shape[1])) for name, g in space.groups.items()}


def used_supernet(space: SupernetSpace, skeleton: Skeleton, images: Tensor) -> nn.Module:
    """A supernet in float64, far from its initial state: random scales, shifts and running statistics."""
    torch.manual_seed(0)
    supernet = space.build(None, skeleton).double()
    with torch.no_grad():
        for weight in supernet.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        for _ in range(3):
            supernet(images, dense(space))
        for name, buffer in supernet.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.2 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.mul_(torch.empty_like(buffer).uniform_(0.5, 1.5))
    return supernet


def extract(space: SupernetSpace, genotype: Genotype, skeleton: Skeleton, state: Mapping[str, Tensor]) -> nn.Module:
    """The child with the weights and buffers of a supernet."""
    child = space.build(genotype, skeleton).double()
    child.load_state_dict({key: state[key] for key in child.state_dict()})
    return child


def assert_same_output(one: NetworkOutput, other: NetworkOutput) -> None:
    """Logits, and those of the auxiliary head, agree."""
    assert_equal("logits", one.logits, other.logits)
    assert (one.auxiliary is None) == (other.auxiliary is None)
    if one.auxiliary is not None and other.auxiliary is not None:
        assert_equal("auxiliary", one.auxiliary, other.auxiliary)


class SupernetSpaceContract(ExecutionContract):
    """Tests of a space with a supernet: those of a search space, and the four laws of `SupernetSpace`."""

    def space(self) -> SupernetSpace:
        """The space under test."""
        raise NotImplementedError("Override space() to give the space under test.")

    def test_discretizing_a_path_gives_the_genotype(self) -> None:
        space = self.space()
        for genotype in sampled(space, 30):
            one_hot = {name: weights.values for name, weights in space.path(genotype).items()}
            assert space.discretize(one_hot) == genotype

    def test_groups_and_paths_fit(self) -> None:
        space = self.space()
        (genotype,) = sampled(space, 1)
        path = space.path(genotype)
        assert list(path) == list(space.groups)
        for name, group in space.groups.items():
            assert group.name == name
            active = path[name].active
            assert path[name].values.shape == group.shape
            assert active is not None, "a path runs the chosen candidates only"
            assert [len(columns) for columns in active] == path[name].values.sum(1).tolist()
            assert all(path[name].values[row, column] == 1 for row, columns in enumerate(active) for column in columns)

    @pytest.mark.parametrize("equal", [True, False], ids=["equal_norms", "published_norms"])
    def test_keys_of_a_child_are_among_those_of_the_supernet(self, equal: bool) -> None:
        space, skeleton = self.space(), self._skeleton(equal)
        whole = self._used(equal).state_dict()
        for genotype in sampled(space, 5):
            child = space.build(genotype, skeleton).state_dict()
            lacking = {key: value for key, value in child.items() if key not in whole}
            assert {key: child[key].shape for key in child if key in whole} == {
                key: whole[key].shape for key in child if key in whole
            }
            assert not (equal and lacking), f"keys that the supernet lacks: {list(lacking)}"
            for key, value in lacking.items():
                name = key.rpartition(".")[2]
                assert name in ("weight", "bias"), f"{key} is no scale and no shift of a norm"
                assert value.ndim == 1, f"{key} is no scale and no shift of a norm"
                assert bool((value == (1.0 if name == "weight" else 0.0)).all()), f"{key} must start at 1 or 0"

    @pytest.mark.parametrize("size", ["even", "odd"])
    @pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
    def test_extraction_preserves_the_function(self, training: bool, size: str) -> None:
        space, skeleton, images = self.space(), self._skeleton(equal=True), self._images(size)
        supernet = self._used(equal=True)
        state = {key: value.clone() for key, value in supernet.state_dict().items()}
        for genotype in sampled(space, 4):
            supernet.load_state_dict(state)
            child = extract(space, genotype, skeleton, state)
            expected = supernet.train(training)(images, space.path(genotype))
            assert_same_output(child.train(training)(images), expected)
            after, own = supernet.state_dict(), child.state_dict()
            for key, value in after.items():  # norms that take no part keep their statistics
                assert_equal(key, value, own.get(key, state[key]))

    @pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
    def test_a_sparse_path_equals_the_dense_one(self, training: bool) -> None:
        space, images = self.space(), self._images("even")
        supernet = self._used(equal=False).train(training)
        for genotype in sampled(space, 2):
            path = space.path(genotype)
            everything = {name: EdgeWeights(weights.values, active=None) for name, weights in path.items()}
            assert_same_output(supernet(images, path), supernet(images, everything))

    def test_gradients_reach_every_architecture_parameter(self) -> None:
        space, images = self.space(), self._images("even")
        supernet = self._used(equal=False)
        alphas = {
            name: torch.randn(group.shape, dtype=torch.float64, requires_grad=True)
            for name, group in space.groups.items()
        }
        logits = supernet(images, {name: EdgeWeights(alpha.softmax(-1)) for name, alpha in alphas.items()}).logits
        loss = (logits * torch.randn_like(logits)).sum()
        gradients = torch.autograd.grad(loss, list(alphas.values()), allow_unused=True)
        for name, gradient in zip(alphas, gradients, strict=True):
            assert gradient is not None, f"group {name!r} has no gradient"
            assert bool((gradient != 0).all()), f"group {name!r}: {gradient}"

    def test_supernets_are_built_on_the_meta_device(self) -> None:
        with torch.device("meta"):
            supernet = self.space().build(None, self.skeleton())
        assert all(tensor.is_meta for tensor in supernet.state_dict().values())

    def test_a_path_includes_what_it_keeps(self) -> None:
        """Costs of a path are then those of its child."""
        space = self.space()
        for genotype in sampled(space, 4):
            path = {name: weights.values.double() for name, weights in space.path(genotype).items()}
            for name, values in space.inclusion(path).items():
                assert torch.allclose(values, path[name], atol=1e-10), f"group {name!r} of {genotype}"

    def test_architectures_go_to_supernets_only(self) -> None:
        space, images = self.space(), self._images("even")
        (genotype,) = sampled(space, 1)
        with pytest.raises(ValueError, match="is a supernet: call it with an architecture"):
            self._used(equal=False)(images)
        with pytest.raises(ValueError, match="is a child"):
            space.build(genotype, self.skeleton()).double()(images, space.path(genotype))

    def _skeleton(self, equal: bool) -> Skeleton:
        return equal_norms(self.skeleton()) if equal else self.skeleton()

    def _used(self, equal: bool) -> nn.Module:
        """The supernet far from its initial state, in train mode, as every test gets it."""

        def make() -> tuple[nn.Module, dict[str, Tensor]]:
            supernet = used_supernet(self.space(), self._skeleton(equal), self._images("even"))
            return supernet, {key: value.clone() for key, value in supernet.state_dict().items()}

        supernet, state = shared(self, ("used", equal), make)
        supernet.load_state_dict(state)
        return supernet.train()
