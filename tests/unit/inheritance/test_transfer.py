"""What a network takes over from others, and the statistics of its norms behind that."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lightning_nas import CellSkeleton, Norm, StagedSkeleton
from lightning_nas.execution.norm import batch_statistics
from lightning_nas.execution.reference import DropPath
from lightning_nas.inheritance import InheritanceReport, Source, inherit, recalibrate
from lightning_nas.inheritance.transfer import is_covered
from lightning_nas.spaces import DartsSpace, NasBench201Space, published
from lightning_nas.testing import BoringSpace

SPACE = NasBench201Space()
SIZES: dict[str, Any] = {"channels": 4, "cells_per_stage": 1, "in_channels": 1}
FIRST = "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_3x3~2|"
SECOND = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|avg_pool_3x3~0|skip_connect~1|nor_conv_3x3~2|"


def build(text: str | None, **sizes: Any) -> nn.Module:
    return SPACE.build(SPACE.parse(text) if text else None, StagedSkeleton(**(SIZES | sizes)))


def trained(network: nn.Module) -> nn.Module:
    """The network with other weights and statistics."""
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(torch.rand_like(value) + 0.5 if value.is_floating_point() else value + 7)
    return network


@pytest.mark.parametrize("mode", ["batch statistics", "train"])
@pytest.mark.parametrize("affine", [False, True])
def test_a_child_equals_the_supernets_path(affine: bool, mode: str) -> None:
    space, genotype = published("DARTS_V2")
    sizes: dict[str, Any] = {"cells": 3, "channels": 4, "in_channels": 1, "pool_norm": True}
    supernet = trained(space.build(None, CellSkeleton(**sizes, norm=Norm(affine=affine)))).double()
    torch.manual_seed(5)
    # scale and shift that a supernet lacks are 1 and 0 in a fresh child: the function is the same
    child = space.build(genotype, CellSkeleton(**sizes, norm=Norm(affine=True))).double()
    report = inherit(child, [Source("supernet", supernet.state_dict(), mixture=True)])
    images = torch.rand(4, 1, 16, 16, dtype=torch.float64)
    for network in (supernet, child):
        network.train(mode == "train")
    with torch.no_grad(), batch_statistics(supernet), batch_statistics(child):
        expected, found = supernet(images, space.path(genotype)).logits, child(images).logits
    assert torch.allclose(found, expected, rtol=0, atol=1e-10)  # float64
    assert report.recalibrate
    assert report.new == () if affine else all(key.endswith(("weight", "bias")) for key in report.new)
    assert set(report.copied) == {"supernet"}


def test_a_child_takes_shared_edges_of_another_child() -> None:
    first, second = trained(build(FIRST)), build(SECOND)
    fresh = copy.deepcopy(second.state_dict())
    report = inherit(second, [Source("trial 3", first.state_dict())])
    for key, value in second.state_dict().items():
        if ".edges.2_0." in key:  # 1x1 there, 3x3 here
            assert torch.equal(value, fresh[key]), key
            assert key in report.new
        else:
            assert torch.equal(value, first.state_dict()[key]), key
    assert report.copied == {"trial 3": len(fresh) - len(report.new)}
    assert report.recalibrate, "the new operations have no statistics"
    again = inherit(build(FIRST), [Source("trial 3", first.state_dict())])
    assert not again.recalibrate
    assert again.new == ()


def test_each_operation_is_whole_from_one_source() -> None:
    first, second, child = trained(build(FIRST)), trained(build(SECOND)), build(SECOND)
    state = dict(first.state_dict())
    broken = next(key for key in state if ".edges.1_0." in key and key.endswith("weight") and state[key].dim() == 4)
    del state[broken]
    unit = broken.partition("nor_conv_3x3")[0]
    report = inherit(child, [Source("trial 3", state), Source("trial 1", second.state_dict())])
    for key, value in child.state_dict().items():
        source = second if key.startswith(unit) or ".edges.2_0." in key else first
        assert torch.equal(value, source.state_dict()[key]), key
    assert list(report.copied) == ["trial 3", "trial 1"]
    assert report.new == ()


def test_another_number_of_classes_leaves_the_classifier_new() -> None:
    first, child = trained(build(FIRST)), build(FIRST, classes=3)
    fresh = copy.deepcopy(child.classifier.state_dict())
    report = inherit(child, [Source("trial 0", first.state_dict())])
    assert report.new == ("classifier.weight", "classifier.bias")
    assert all(torch.equal(value, fresh[key]) for key, value in child.classifier.state_dict().items())
    assert not report.cropped
    assert not report.recalibrate


@pytest.mark.parametrize("channels", [3, 6])
def test_other_channels_are_cropped(channels: int) -> None:
    first, child = trained(build(FIRST)), build(FIRST, channels=channels)
    fresh, given = copy.deepcopy(child.state_dict()), first.state_dict()
    report = inherit(child, [Source("trial 0", given)])
    least = min(channels, 4)
    weight = child.state_dict()["stem.0.weight"]
    assert torch.equal(weight[:least], given["stem.0.weight"][:least])
    assert torch.equal(weight[least:], fresh["stem.0.weight"][least:])
    assert report.recalibrate
    assert report.cropped["trial 0"] < report.copied["trial 0"], "counters of batches have no channels"
    assert report.new == ("classifier.weight", "classifier.bias")


def test_equal_shapes_are_preferred_to_cropped_ones() -> None:
    wide, narrow = trained(build(FIRST, channels=6)), trained(build(FIRST))
    child = build(FIRST)
    report = inherit(child, [Source("wide", wide.state_dict()), Source("narrow", narrow.state_dict())])
    assert list(report.copied) == ["narrow"]
    assert not report.cropped


def test_kernels_are_cropped_in_the_middle() -> None:
    small, large = nn.Sequential(nn.Conv2d(1, 1, 3)), nn.Sequential(nn.Conv2d(1, 1, 5))
    kernel = large[0].weight.detach().clone()
    inherit(large, [Source("small", small.state_dict())])
    assert torch.equal(large[0].weight[0, 0, 1:4, 1:4], small[0].weight[0, 0])
    assert torch.equal(large[0].weight[0, 0, 0], kernel[0, 0, 0])
    small.load_state_dict(nn.Sequential(nn.Conv2d(1, 1, 3)).state_dict())
    inherit(small, [Source("large", large.state_dict())])
    assert torch.equal(small[0].weight[0, 0], large[0].weight[0, 0, 1:4, 1:4])


def test_optimizers_keep_the_parameters() -> None:
    child = build(FIRST)
    before = [id(parameter) for parameter in child.parameters()]
    inherit(child, [Source("trial 0", trained(build(FIRST)).state_dict())])
    assert [id(parameter) for parameter in child.parameters()] == before
    assert all(parameter.requires_grad and parameter.grad_fn is None for parameter in child.parameters())


def test_a_supernet_takes_what_a_child_has() -> None:
    supernet, child = build(None, norm=Norm()), trained(build(FIRST))
    inherit(supernet, [Source("trial 0", child.state_dict())])
    state = supernet.state_dict()
    assert all(torch.equal(state[key], value) for key, value in child.state_dict().items())


def test_nothing_in_common() -> None:
    other = BoringSpace()
    network = other.build(None, other.skeleton(classes=3, in_channels=1))
    before = copy.deepcopy(network.state_dict())
    report = inherit(network, [])
    assert str(report) == f"inherited nothing, {len(before)} left new"
    assert not report.recalibrate


def test_is_covered() -> None:
    first, child = Source("trial 0", build(FIRST).state_dict()), build(SECOND)
    assert not is_covered(child, [])
    assert not is_covered(child, [first])
    assert is_covered(child, [first, Source("trial 1", build(SECOND).state_dict())])


def test_report_text() -> None:
    report = InheritanceReport({"trial 12": 132, "trial 9": 40}, {"trial 9": 6}, ("a",) * 8, True)
    assert str(report) == "inherited 132 tensors from trial 12, 40 from trial 9 (6 cropped), 8 left new"
    assert str(InheritanceReport({"a.ckpt": 1}, {}, (), False)) == "inherited 1 tensor from a.ckpt, 0 left new"


# --- recalibration --------------------------------------------------------------------------------------------------


def test_statistics_are_the_means_over_the_batches() -> None:
    network = trained(build(FIRST)).double().train()
    batches = [torch.rand(6, 1, 8, 8, dtype=torch.float64) for _ in range(4)]
    arriving: dict[str, list[Tensor]] = {}
    other = copy.deepcopy(network)  # an independent computation: what arrives at each norm, in the mode of training
    norms = {name: module for name, module in other.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.register_forward_pre_hook(lambda _, x, name=name: arriving.setdefault(name, []).append(x[0].detach()))
    for batch in batches:
        other(batch)
    before = {name: value.clone() for name, value in network.named_parameters()}
    assert recalibrate(network, batches, lambda batch: batch) == 4
    for name in norms:
        found: Any = network.get_submodule(name)
        mean = torch.stack([x.mean((0, 2, 3)) for x in arriving[name]]).mean(0)
        var = torch.stack([x.transpose(0, 1).flatten(1).var(1, unbiased=True) for x in arriving[name]]).mean(0)
        assert torch.allclose(found.running_mean, mean, rtol=0, atol=1e-10)  # float64
        assert torch.allclose(found.running_var, var, rtol=1e-10, atol=1e-10)
        assert found.momentum == 0.1
        assert int(found.num_batches_tracked) == 4
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) and value.grad is None for name, value in network.named_parameters())


def test_norms_that_take_no_part_keep_their_statistics() -> None:
    space, genotype = published("DARTS_V2")
    network = trained(space.build(genotype, CellSkeleton(cells=3, channels=4, auxiliary=True)))
    before = copy.deepcopy(network.state_dict())
    recalibrate(network, [torch.rand(2, 3, 32, 32)], lambda batch: batch)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    auxiliary = [key for key in before if key.startswith("auxiliary")]
    assert changed
    assert auxiliary
    assert not changed & set(auxiliary), "the auxiliary head runs in training only"


def test_drop_path_is_off_and_modes_return_behind_an_error() -> None:
    network = build(FIRST)
    for module in network.modules():
        if isinstance(module, DropPath):
            module.probability = 0.9
    state = torch.get_rng_state()
    recalibrate(network, [torch.rand(2, 1, 8, 8, generator=torch.Generator())], lambda batch: batch)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(RuntimeError):
        recalibrate(network, [torch.rand(2, 5, 8, 8)], lambda batch: batch)
    assert all(module.training for module in network.modules())


def test_supernets_of_darts_have_one_unit_for_each_operation() -> None:
    space = DartsSpace()
    supernet = space.build(None, CellSkeleton(cells=3, channels=4))
    state = dict(supernet.state_dict())
    missing = "cells.1.edges.2_0.sep_conv_3x3."
    partial = {key: value for key, value in state.items() if key != next(k for k in state if k.startswith(missing))}
    report = inherit(space.build(None, CellSkeleton(cells=3, channels=4)), [Source("partial", partial)])
    assert set(report.new) == {key for key in state if key.startswith(missing)}
