"""Batch norm with the batch's statistics, and the chain that computes its middle again."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas.functional.normalization import norm_relu_depthwise, normalize

EPS = 1e-5


def images(channels: int = 4, size: int = 6) -> Tensor:
    x = torch.randn(2, channels, size, size, dtype=torch.float64)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def vector(channels: int = 4) -> Tensor:
    return torch.randn(channels, dtype=torch.float64, requires_grad=True)


def kernels(kernel: int, channels: int = 4) -> Tensor:
    return torch.randn(channels, 1, kernel, kernel, dtype=torch.float64, requires_grad=True)


def test_normalize_is_batch_norm_and_gives_its_statistics() -> None:
    x, weight = images(), vector()
    output, mean, invstd = normalize(x, weight, None, EPS)
    torch.testing.assert_close(output, F.batch_norm(x, None, None, weight, None, training=True, eps=EPS))
    torch.testing.assert_close(mean, x.mean((0, 2, 3)))
    torch.testing.assert_close(invstd, (x.var((0, 2, 3), correction=0) + EPS).rsqrt())


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("size", [2, 5, 9])
def test_norm_relu_depthwise_and_its_gradients(size: int, kernel: int, affine: bool) -> None:
    x, taps, weight, bias = images(size=size), kernels(kernel), vector(), vector()
    inputs = [x, taps, weight, bias] if affine else [x, taps]
    scale, shift = (weight, bias) if affine else (None, None)
    output, mean, _ = norm_relu_depthwise(x, scale, shift, EPS, taps)
    hidden = F.batch_norm(x, None, None, scale, shift, training=True, eps=EPS).relu()
    expected = F.conv2d(hidden, taps, padding=kernel // 2, groups=4)
    torch.testing.assert_close(output, expected)
    assert not mean.requires_grad
    gradient = torch.randn_like(expected)
    found, wanted = (torch.autograd.grad(y, inputs, gradient) for y in (output, expected))
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


def test_gradients_of_fixed_kernels() -> None:
    x, taps = images(), kernels(5)
    full = torch.autograd.grad(norm_relu_depthwise(x, None, None, EPS, taps)[0].square().sum(), x)
    frozen = torch.autograd.grad(norm_relu_depthwise(x, None, None, EPS, taps.detach())[0].square().sum(), x)
    torch.testing.assert_close(full, frozen)


def test_the_middle_is_not_kept() -> None:
    kept: list[Tensor] = []
    x, taps = images(), kernels(3)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        norm_relu_depthwise(x, None, None, EPS, taps)
    assert sum(tensor.numel() == x.numel() for tensor in kept) == 1


@pytest.mark.parametrize("affine", [False, True])
def test_derivatives_of_both_orders(affine: bool) -> None:
    inputs = (images(channels=2, size=3), kernels(3, 2), *((vector(2), vector(2)) if affine else ()))

    def chain(x: Tensor, taps: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        return norm_relu_depthwise(x, weight, bias, EPS, taps)[0]

    assert torch.autograd.gradcheck(chain, inputs)
    assert torch.autograd.gradgradcheck(chain, inputs)


@pytest.mark.parametrize("chain", [False, True])
def test_one_value_a_channel(chain: bool) -> None:
    x = torch.zeros(1, 4, 1, 1)
    with pytest.raises(ValueError, match=r"more than 1 value per channel .*\[1, 4, 1, 1\]"):
        norm_relu_depthwise(x, None, None, EPS, torch.zeros(4, 1, 3, 3)) if chain else normalize(x, None, None, EPS)


def test_statistics_of_half_precision_are_full() -> None:
    x = torch.randn(4, 3, 5, 5, dtype=torch.bfloat16)
    output, mean, invstd = normalize(x, None, None, EPS)
    assert (output.dtype, mean.dtype, invstd.dtype) == (torch.bfloat16, torch.float32, torch.float32)
