"""The parts of the fast execution, and what its reference is."""

from __future__ import annotations

from collections import Counter
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_nas import CellSkeleton, DartsSearch, EdgeWeights, GdasSearch
from lightning_nas.execution import Execution
from lightning_nas.functional.autograd import weighted_sum
from lightning_nas.functional.parity import every_second, from_parities, parities
from lightning_nas.spaces import DartsSpace, register_candidate
from lightning_nas.testing import BoringData

pytestmark = pytest.mark.slow


def test_weighted_sum_and_its_derivatives() -> None:
    weights = torch.randn(3, dtype=torch.float64, requires_grad=True)
    terms = [torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True) for _ in weights]
    terms[1] = terms[1].detach().to(memory_format=torch.channels_last).requires_grad_()
    expected = sum(weight * term for weight, term in zip(weights, terms, strict=True))
    torch.testing.assert_close(weighted_sum(terms, weights), expected)
    assert torch.autograd.gradcheck(lambda w, *t: weighted_sum(t, w), (weights, *terms))
    assert torch.autograd.gradgradcheck(lambda w, *t: weighted_sum(t, w), (weights, *terms))


def test_weighted_sum_keeps_no_terms_for_constant_weights() -> None:
    kept: list[Tensor] = []
    terms = [torch.randn(1, 2, 3, 3, requires_grad=True) for _ in range(2)]
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        weighted_sum(terms, torch.ones(2))
    assert [tensor.numel() for tensor in kept] == [2]


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_dilated_convolution_on_parities(kernel: int, stride: int) -> None:
    conv = nn.Conv2d(4, 4, kernel, stride, kernel - 1, dilation=2, groups=4, bias=False).double()
    x = torch.randn(2, 4, 6, 8, dtype=torch.float64)
    images = parities(x.relu()) if stride == 1 else every_second(x.relu())
    found = nn.functional.conv2d(images, conv.weight, None, 1, kernel // 2, groups=4)
    torch.testing.assert_close(from_parities(found) if stride == 1 else found, conv(x.relu()))


class CountOperations(TorchDispatchMode):
    """Counts the operations that compute: views are left out."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view:
            self.counts[str(func)] += 1
        return func(*args, **(kwargs or {}))


def operations(mode: Any, device: str) -> int:
    """Operations of a forward and a backward of all gradients, C=16, 8 cells."""
    space = DartsSpace()
    supernet = space.build(None, CellSkeleton(cells=8, channels=16), Execution(mode)).to(device)
    alphas = [torch.zeros(group.shape, requires_grad=True, device=device) for group in space.groups.values()]
    with CountOperations() as counted:
        architecture = {name: EdgeWeights(alpha.softmax(-1)) for name, alpha in zip(space.groups, alphas, strict=True)}
        loss = supernet(torch.zeros(2, 3, 8, 8, device=device), architecture).logits.sum()
        torch.autograd.grad(loss, [*supernet.parameters(), *alphas])
    return sum(counted.counts.values())


# The meta device stands for accelerators, where each operation is a launch: detours for CPU libraries are not taken.
@pytest.mark.parametrize(("device", "share"), [("cpu", 0.37), ("meta", 0.29)])
def test_number_of_operations(device: str, share: float) -> None:
    reference, fast = operations("edge_by_edge", device), operations("fan_out", device)
    assert abs(reference - 15_004) < 0.05 * 15_004, "the reference has the operations of the authors' code"
    assert fast < share * reference


def test_a_candidate_of_ones_own_runs_without_a_plan() -> None:
    register_candidate("shift", lambda place: nn.AvgPool2d(1, place.stride))
    space = DartsSpace(nodes=2, candidates=["none", "shift", "sep_conv_3x3"])
    images = torch.randn(2, 3, 8, 8)
    outputs = []
    for execution in (Execution("fan_out"), Execution("edge_by_edge")):
        torch.manual_seed(0)
        supernet = space.build(None, CellSkeleton(cells=3, channels=4), execution)
        rows = {name: EdgeWeights(torch.full(group.shape, 0.3)) for name, group in space.groups.items()}
        outputs.append(supernet(images, rows).logits)
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def test_bfloat16(trainer_kwargs: dict[str, Any]) -> None:
    search = DartsSearch(DartsSpace(nodes=2), CellSkeleton(cells=3, channels=4), order=2)
    before = [alpha.detach().clone() for alpha in search.architecture.parameters()]
    trainer = L.Trainer(max_epochs=1, precision="bf16-mixed", **trainer_kwargs)
    trainer.fit(search, datamodule=BoringData(shape=(3, 12, 12), batches=2))
    for alpha, old in zip(search.architecture.parameters(), before, strict=True):
        assert alpha.dtype == torch.float32
        assert alpha.isfinite().all()
        assert not torch.equal(alpha, old)


@pytest.mark.parametrize("method", ["first", "second", "gdas"])
def test_a_search_with_cells_computed_again_is_the_same(method: str, trainer_kwargs: dict[str, Any]) -> None:
    found = []
    for checkpointed in (False, True):
        L.seed_everything(0)
        space, sizes = DartsSpace(nodes=2), CellSkeleton(cells=3, channels=4)
        execution, order = Execution(checkpoint_cells=checkpointed), 2 if method == "second" else 1
        search = (
            GdasSearch(space, sizes, execution=execution)
            if method == "gdas"
            else DartsSearch(space, sizes, order=order, execution=execution)  # type: ignore[arg-type]
        )
        L.Trainer(max_epochs=1, **trainer_kwargs).fit(search, datamodule=BoringData(shape=(3, 12, 12), batches=2))
        found.append(search.state_dict())
    for name, value in found[0].items():
        torch.testing.assert_close(found[1][name], value, rtol=1e-4, atol=1e-5)


class Foreign(nn.Module):
    """A norm that the package does not know, in place of one that it does."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        return 2 * self.norm(x)


def with_foreign_norms(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        setattr(module, name, Foreign(child) if isinstance(child, nn.BatchNorm2d) else with_foreign_norms(child))
    return module


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_norms_of_another_class_are_called(training: bool) -> None:
    space, found = DartsSpace(nodes=2), []
    for execution in (Execution("fan_out"), Execution("edge_by_edge")):
        torch.manual_seed(0)
        supernet = space.build(None, CellSkeleton(cells=3, channels=4), execution)
        with_foreign_norms(supernet).double().train(training)
        rows = {name: EdgeWeights(torch.rand(group.shape)) for name, group in space.groups.items()}
        found.append(supernet(torch.randn(2, 3, 12, 12, dtype=torch.float64), rows).logits)
    torch.testing.assert_close(*found)
