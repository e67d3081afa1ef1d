"""Batch norm in a chain that keeps less: the same function, first and second derivatives as without it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lightning_nas.functional.normalization import norm_relu_depthwise, normalize


def inputs(kernel: int, size: int, affine: bool) -> list[torch.Tensor]:
    images = torch.randn(3, 4, size, size, dtype=torch.float64).to(memory_format=torch.channels_last)
    shapes = [(4,), (4,)] if affine else []
    tensors = [images, torch.randn(4, 1, kernel, kernel, dtype=torch.float64)]
    tensors += [torch.rand(shape, dtype=torch.float64) + 0.5 for shape in shapes]
    return [tensor.requires_grad_() for tensor in tensors]


def plain(x: torch.Tensor, kernels: torch.Tensor, *affine: torch.Tensor) -> torch.Tensor:
    hidden = F.relu(F.batch_norm(x, None, None, *affine, training=True))
    return F.conv2d(hidden, kernels, padding=kernels.shape[-1] // 2, groups=len(kernels))


def chained(x: torch.Tensor, kernels: torch.Tensor, *affine: torch.Tensor) -> torch.Tensor:
    return norm_relu_depthwise(x, *(affine or (None, None)), 1e-5, kernels)[0]


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize(("kernel", "size"), [(3, 6), (5, 6), (5, 3), (3, 1)])
def test_chain_is_the_plain_one(kernel: int, size: int, affine: bool) -> None:
    tensors = inputs(kernel, size, affine)
    found, expected = chained(*tensors), plain(*tensors)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    weights = torch.randn_like(found)
    pairs = zip(*(torch.autograd.grad((o * weights).sum(), tensors) for o in (found, expected)), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("affine", [False, True])
def test_second_derivative(affine: bool) -> None:
    tensors = inputs(5, 4, affine)
    seconds = []
    for function in (chained, plain):
        first = torch.autograd.grad(function(*tensors).sin().sum(), tensors, create_graph=True)
        seconds.append(torch.autograd.grad(sum(g.square().sum() for g in first), tensors))
    for one, other in zip(*seconds, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_what_lies_between_is_not_kept() -> None:
    kept: list[torch.Size] = []
    tensors = inputs(3, 6, affine=False)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
        chained(*tensors)
    assert sum(shape == tensors[0].shape for shape in kept) == 1


def test_one_value_a_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        normalize(torch.ones(1, 4, 1, 1), None, None, 1e-5)
