"""Candidate operations: shapes at any size and stride, and the register."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lightning_nas import Norm
from lightning_nas.networks.convolutions import FactorizedReduce
from lightning_nas.spaces import CANDIDATES, Place, register_candidate

PUBLISHED = tuple(CANDIDATES)


@pytest.mark.parametrize("size", [(6, 6), (7, 5), (1, 1)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes(name: str, stride: int, size: tuple[int, int]) -> None:
    operation = CANDIDATES[name](Place(4, stride, Norm(), pool_norm=True)).eval()
    expected = (2, 4, *(-(-pixels // stride) for pixels in size))
    assert operation(torch.randn(2, 4, *size)).shape == expected


def test_none_is_zero_and_keeps_the_graph() -> None:
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    output = CANDIDATES["none"](Place(2, 2, Norm()))(x)
    assert not output.any()
    assert output.requires_grad


def test_pools_have_an_affine_free_norm_only_where_asked() -> None:
    for name in ("max_pool_3x3", "avg_pool_3x3"):
        assert not CANDIDATES[name](Place(4, 1, Norm())).state_dict()
        pool = CANDIDATES[name](Place(4, 1, Norm(), pool_norm=True))
        assert not list(pool.parameters())
        assert set(pool.state_dict()) == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}


def test_padding_does_not_count_in_averages() -> None:
    assert CANDIDATES["avg_pool_3x3"](Place(1, 1, Norm()))(torch.ones(1, 1, 3, 3)).unique().tolist() == [1.0]


def test_convolutions_have_a_bias_where_the_norm_has_no_shift() -> None:
    for affine in (True, False):
        conv = CANDIDATES["nor_conv_3x3"](Place(4, 1, Norm(affine=affine)))
        assert ("conv.bias" in conv.state_dict()) is not affine


def test_factorized_reduce_takes_even_and_odd_pixels() -> None:
    reduce = FactorizedReduce(1, 2, Norm()).eval()
    nn.init.ones_(reduce.conv_1.weight)
    nn.init.ones_(reduce.conv_2.weight)
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    even, odd = (reduce(x) * (1 + 1e-5) ** 0.5).detach()[0]
    torch.testing.assert_close(even, torch.tensor([[0.0, 2.0], [6.0, 8.0]]))
    torch.testing.assert_close(odd, torch.tensor([[4.0, 0.0], [0.0, 0.0]]))


def test_register(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PUBLISHED:
        monkeypatch.setitem(CANDIDATES, name, CANDIDATES[name])

    def relu(place: Place) -> nn.Module:
        return nn.ReLU()

    monkeypatch.setitem(CANDIDATES, "my_relu", relu)
    register_candidate("my_relu", relu)
    assert CANDIDATES["my_relu"] is relu
    with pytest.raises(ValueError, match=r"register_candidate\(name='my_relu'\): the name is taken"):
        register_candidate("my_relu", lambda place: nn.ReLU())
    with pytest.raises(ValueError, match=r"register_candidate\(name='my.relu'\)"):
        register_candidate("my.relu", relu)
