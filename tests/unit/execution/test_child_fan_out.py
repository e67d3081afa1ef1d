"""The fast training of children: what it shares, and that it is the reference's function for published cells."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_nas import CellSkeleton
from lightning_nas.execution import Execution
from lightning_nas.spaces import published

IMAGES = torch.randn(2, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def child(name: str, mode: Any, **sizes: Any) -> nn.Module:
    torch.manual_seed(0)
    space, genotype = published(name)
    return space.build(genotype, CellSkeleton(4, **{"cells": 4, **sizes}), Execution(mode)).double()


def gradients(network: nn.Module) -> dict[str, Tensor]:
    output = network.train()(IMAGES)
    sum(logits.square().mean() for logits in output if logits is not None).backward()
    return {name: weight.grad for name, weight in network.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("sizes", [{"auxiliary": True}, {"stem": "imagenet"}], ids=["cifar", "imagenet"])
@pytest.mark.parametrize("name", ["DARTS_V2", "GDAS_V1", "PC_DARTS_CIFAR", "NASNET_A", "AMOEBANET_A"])
def test_published_children_train_like_the_reference(name: str, sizes: dict[str, Any]) -> None:
    if "stem" in sizes:
        sizes = {**sizes, "pool_norm": True}
    fast, reference = (child(name, mode, **sizes) for mode in ("fan_out", "edge_by_edge"))
    found, expected = gradients(fast), gradients(reference)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        torch.testing.assert_close(found[key], gradient, rtol=1e-10, atol=1e-10, msg=key)
    own = fast.state_dict()
    for key, value in reference.state_dict().items():  # running statistics
        torch.testing.assert_close(own[key], value, rtol=1e-10, atol=1e-10, msg=key)


class CountOperations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.overloadpacket.__name__.rstrip("_")] += 1
        return func(*args, **(kwargs or {}))


def counted(network: nn.Module) -> Counter[str]:
    with CountOperations() as mode:
        network(IMAGES)
    return mode.counts


def test_relu_and_pools_are_computed_once_a_state() -> None:
    fast, reference = (counted(child("DARTS_V2", e, cells=8).train()) for e in ("fan_out", "edge_by_edge"))
    # Two reduction cells: max pools on input 0 in two edges, on input 1 in three.
    assert (reference["max_pool2d_with_indices"], fast["max_pool2d_with_indices"]) == (10, 4)
    assert fast["relu"] < 0.75 * reference["relu"]
    assert fast["native_batch_norm"] + 3 < reference["native_batch_norm"], "the inputs of cells have one norm for two"


@pytest.mark.parametrize("training", [True, False])
def test_in_eval_mode_every_module_is_called(training: bool) -> None:
    network, called = child("DARTS_V2", "fan_out").train(training), set()
    for name, module in network.named_modules():
        module.register_forward_hook(lambda *_, name=name: called.add(name))
    network(IMAGES)
    holders = (nn.ModuleList, nn.ModuleDict)
    drops = {name for name, module in network.named_modules() if type(module).__name__ == "DropPath"}
    missing = {n for n, m in network.named_modules() if not isinstance(m, holders)} - called - drops
    assert bool(missing) == training, missing


def test_mixed_precision() -> None:
    losses = []
    for mode in ("fan_out", "edge_by_edge"):
        network = child("GDAS_V1", mode).float().train()
        with torch.autocast("cpu", torch.bfloat16):
            losses.append(network(IMAGES.float()).logits.float().square().mean())
        losses[-1].backward()
        assert all(torch.isfinite(w.grad).all() for w in network.parameters() if w.grad is not None)
    torch.testing.assert_close(*losses, rtol=0.05, atol=0.01)
