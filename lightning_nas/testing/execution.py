"""Law (iv) of `SupernetSpace`: how a supernet is executed changes neither function, gradients nor state."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from lightning_nas.architecture.edges import EdgeWeights
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.execution.reference import DropPath
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.testing.boring import shared
from lightning_nas.testing.space import SpaceContract, random_images, sampled

STEPS = {"even": 3, "odd": 1}
"""Of training, by the images: later ones begin with weights, momentum and statistics that earlier ones have changed."""


def assert_equal(what: str, one: Tensor, other: Tensor) -> None:
    """Equal but for rounding in float64."""
    if one.shape == other.shape and one.dtype == other.dtype and torch.allclose(one, other, rtol=1e-10, atol=1e-10):
        return  # tens of thousands of them: `assert_close` takes several times as long
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10, msg=lambda text: f"{what}: {text}")


class _Trained:
    """A supernet in float64 with its weights' optimizer."""

    def __init__(self, space: SupernetSpace, skeleton: Skeleton, execution: Execution) -> None:
        self.space = space
        self.supernet = space.build(None, skeleton, execution).double()
        self.weights = list(self.supernet.parameters())

    def state(self) -> dict[str, Tensor]:
        return {key: value.clone() for key, value in self.supernet.state_dict().items()}

    def begin(self, state: Mapping[str, Tensor]) -> None:
        """From a state of the supernet, with a fresh optimizer."""
        self.supernet.train().load_state_dict(state)
        self.optimizer = torch.optim.SGD(self.weights, 0.05, momentum=0.9, weight_decay=1e-3)

    def architecture(self, sparse: bool, seed: int) -> dict[str, EdgeWeights]:
        """A random one that carries gradient; a sparse one also gives the candidates that do not run theirs."""
        source = torch.Generator().manual_seed(seed)
        self.alphas = {
            name: torch.randn(group.shape, generator=source, dtype=torch.float64, requires_grad=True)
            for name, group in self.space.groups.items()
        }
        found = {}
        for name, alpha in self.alphas.items():
            soft = alpha.softmax(-1)
            drawn = torch.randint(alpha.shape[1], (len(alpha),), generator=source)
            hard = torch.zeros_like(soft).scatter_(1, drawn[:, None], 1.0) + soft - soft.detach()
            active = tuple((column,) for column in drawn.tolist())
            found[name] = EdgeWeights(hard, active, inactive_gradient=True) if sparse else EdgeWeights(soft)
        return found

    def step(self, images: Tensor, sparse: bool, seed: int) -> dict[str, Tensor]:
        """One training step: logits, all gradients, and the optimizer's state."""
        logits = self.supernet.train()(images, self.architecture(sparse, seed)).logits
        names = [*self.alphas, *(name for name, _ in self.supernet.named_parameters())]
        tensors = [*self.alphas.values(), *self.weights]
        found = torch.autograd.grad(logits.square().mean(), tensors, allow_unused=True)
        for weight, gradient in zip(self.weights, found[len(self.alphas) :], strict=True):
            weight.grad = gradient
        self.optimizer.step()
        result = {name: gradient for name, gradient in zip(names, found, strict=True) if gradient is not None}
        for index, state in self.optimizer.state_dict()["state"].items():
            result[f"momentum {index}"] = state["momentum_buffer"].clone()
        return {"logits": logits, **result}

    def train(self, images: Tensor, sparse: bool, steps: int) -> dict[str, Tensor]:
        """All that comes out of the steps, and all that they end with."""
        found: dict[str, Tensor] = {}
        for step in range(steps):
            found |= {f"{name} in step {step}": value for name, value in self.step(images, sparse, step).items()}
        found |= self.state()
        found["logits in eval mode"] = self.supernet.eval()(images, self.architecture(sparse, 9)).logits
        return {name: value.detach() for name, value in found.items()}


def _train_child(
    space: SupernetSpace, genotype: Genotype, skeleton: Skeleton, execution: Execution, images: Tensor, steps: int
) -> dict[str, Tensor]:
    """Steps of a child in float64 with drop path: all that comes out, and all that it ends with."""
    torch.manual_seed(0)
    child = space.build(genotype, skeleton, execution).double().train()
    for module in child.modules():
        if isinstance(module, DropPath):
            module.probability = 0.3
    optimizer = torch.optim.SGD(child.parameters(), 0.05, momentum=0.9)
    found: dict[str, Tensor] = {}
    for step in range(steps):
        output = child(images)
        optimizer.zero_grad()
        sum(logits.square().mean() for logits in output if logits is not None).backward()
        found |= {
            f"gradient of {name} in step {step}": w.grad.clone()
            for name, w in child.named_parameters()
            if w.grad is not None
        }
        found |= {f"logits {index} in step {step}": o for index, o in enumerate(output) if o is not None}
        optimizer.step()
    return {**found, **child.state_dict(), "logits in eval mode": child.eval()(images).logits}


def _kept_numbers(side: _Trained, images: Tensor, sparse: bool) -> int:
    """How many numbers a forward pass keeps for the backward pass, each storage once."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = side.supernet(images, side.architecture(sparse, 0))
    del result
    return sum(sizes.values())


class ExecutionContract(SpaceContract):
    """Tests of `Execution`, up to three training steps deep; part of `SupernetSpaceContract`."""

    def space(self) -> SupernetSpace:
        """The space under test."""
        raise NotImplementedError("Override space() to give the space under test.")

    @pytest.mark.parametrize("size", ["even", "odd"])
    @pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
    def test_execution_is_invisible(self, sparse: bool, size: str) -> None:
        self._assert_invisible(Execution("edge_by_edge"), size, sparse)

    @pytest.mark.parametrize("size", ["even", "odd"])
    def test_execution_of_children_is_invisible(self, size: str) -> None:
        space, images = self.space(), self._images(size)
        for genotype in sampled(space, 4):
            fast, reference = (
                _train_child(space, genotype, self.skeleton(), execution, images, STEPS[size])
                for execution in (Execution("fan_out"), Execution("edge_by_edge"))
            )
            assert fast.keys() == reference.keys()
            for name, value in reference.items():
                assert_equal(name, fast[name], value)

    @pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
    def test_checkpointing_is_invisible_and_keeps_less(self, sparse: bool) -> None:
        images = self._images("even")
        plain, checkpointed = Execution(), Execution(checkpoint_cells=True)
        kept, less = (_kept_numbers(self._supernet(execution), images, sparse) for execution in (plain, checkpointed))
        assert less < 0.8 * kept, f"{less} of {kept} numbers are kept: is `run_cell` used?"
        self._assert_invisible(checkpointed, "even", sparse)

    def _assert_invisible(self, execution: Execution, size: str, sparse: bool) -> None:
        """A supernet that is run so is trained to the same weights and statistics as by default."""
        plain, other = (self._training(size, sparse, run) for run in (Execution(), execution))
        assert plain.keys() == other.keys()
        for name, tensor in other.items():
            assert_equal(name, plain[name], tensor)

    def _training(self, size: str, sparse: bool, execution: Execution) -> dict[str, Tensor]:
        """What a supernet that is run so gives; all begin with the same weights."""
        key = ("training", execution, size, sparse)
        return shared(self, key, lambda: self._supernet(execution).train(self._images(size), sparse, STEPS[size]))

    def _supernet(self, execution: Execution) -> _Trained:
        """A supernet that is run so, at the beginning."""
        supernet = shared(self, ("supernet", execution), lambda: _Trained(self.space(), self.skeleton(), execution))
        supernet.begin(shared(self, "beginning", supernet.state))
        return supernet

    def _images(self, size: str) -> Tensor:
        channels, height, width = self.image_shape
        return random_images((channels, height + 1, width + 3) if size == "odd" else self.image_shape)
