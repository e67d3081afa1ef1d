"""Convolutions of many edges at once, against torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas.functional.convolution import depthwise, pointwise, repeat_channels
from lightning_nas.functional.gradients import frozen, gradients
from lightning_nas.functional.parity import diagonal_parities, dilated, every_second, from_parities, parities


def random_images(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64).to(memory_format=torch.channels_last).requires_grad_()


def assert_same(one: Tensor, other: Tensor, inputs: list[Tensor]) -> None:
    """Values and gradients, and the gradients of the gradients."""
    torch.testing.assert_close(one, other)
    gradient = torch.randn_like(one)
    found = [torch.autograd.grad(output, inputs, gradient, create_graph=True) for output in (one, other)]
    torch.testing.assert_close(*found)
    second = [torch.autograd.grad(sum(g.square().sum() for g in first), inputs) for first in found]
    torch.testing.assert_close(*second)


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (5, 7), (4, 6), (3, 3), (2, 1), (1, 4)])
@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
def test_depthwise(kernel: int, size: tuple[int, int]) -> None:
    x, weight = random_images(2, 3, *size), random_images(3, 1, kernel, kernel)
    expected = F.conv2d(x, weight, padding=kernel // 2, groups=3)
    assert_same(depthwise(x, weight, padding=kernel // 2), expected, [x, weight])


@pytest.mark.parametrize(("stride", "padding", "dilation"), [(2, 2, 1), (1, 4, 2), (1, 0, 1)])
def test_depthwise_with_stride_dilation_and_padding(stride: int, padding: int, dilation: int) -> None:
    x, weight = random_images(2, 3, 9, 11), random_images(3, 1, 5, 5)
    expected = F.conv2d(x, weight, None, stride, padding, dilation, groups=3)
    assert_same(depthwise(x, weight, stride, padding, dilation), expected, [x, weight])


@pytest.mark.parametrize("channels", [1, 4, 16])
@pytest.mark.parametrize("edges", [1, 3])
def test_pointwise_keeps_edges_apart(edges: int, channels: int) -> None:
    x, weight = random_images(2, edges * channels, 3, 5), random_images(edges * channels, channels, 1, 1)
    parts = zip(x.split(channels, 1), weight.split(channels), strict=True)
    assert_same(pointwise(x, weight), torch.cat([F.conv2d(a, b) for a, b in parts], 1), [x, weight])


def test_repeated_channels_follow_one_another() -> None:
    x = random_images(2, 3, 4, 5)
    repeated = repeat_channels(x, 4)
    assert repeated.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(repeated, torch.cat([x] * 4, 1))
    assert torch.equal(torch.autograd.grad(repeated.sum(), x)[0], torch.full_like(x, 4.0))


def test_parities_are_put_together_onto_other_images() -> None:
    x, onto = random_images(8, 3, 3, 5), random_images(2, 3, 6, 10)
    assert_same(from_parities(x, 2 * onto).square(), (from_parities(x) + 2 * onto).square(), [x, onto])


def test_slices_have_gradients_in_the_layout_of_the_images() -> None:
    x = random_images(2, 3, 6, 8)
    for output in (parities(x), every_second(x), every_second(x, first=1)):
        (gradient,) = torch.autograd.grad(output.square().sum(), x)
        assert gradient.is_contiguous(memory_format=torch.channels_last)
    plain = x.detach().contiguous()
    assert torch.equal(every_second(x, first=1), every_second(plain, first=1))


def test_frozen_parameters_come_back_after_an_error() -> None:
    weight, constant = torch.ones(2, requires_grad=True), torch.ones(2)
    with pytest.raises(AssertionError, match="inside"), frozen([weight, constant]):
        assert weight.requires_grad, "inside"
    assert weight.requires_grad
    assert not constant.requires_grad


def test_a_constant_loss_has_zero_gradients() -> None:
    weight = torch.ones(2, requires_grad=True)
    assert gradients(torch.tensor(1.0), [weight])[0].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("size", [(8, 8), (4, 6), (2, 2), (5, 7), (6, 9)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_dilated(kernel: int, stride: int, size: tuple[int, int]) -> None:
    x, weight = random_images(2, 3, *size), random_images(3, 1, kernel, kernel)
    expected = F.conv2d(x, weight, None, stride, kernel - 1, 2, groups=3)
    assert_same(dilated(x, weight, stride), expected, [x, weight])


def test_diagonal_parities() -> None:
    x = random_images(2, 3, 6, 8)
    even, odd = diagonal_parities(x)
    assert torch.equal(even, x[:, :, ::2, ::2])
    assert torch.equal(odd, x[:, :, 1::2, 1::2])
    (gradient,) = torch.autograd.grad((even * odd).sum(), x)
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(gradient[:, :, ::2, ::2], odd)
