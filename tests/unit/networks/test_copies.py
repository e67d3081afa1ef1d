"""Networks can be copied, pickled and saved as they are, as averaging of weights and users' own scripts do it."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn

from lightning_nas import SupernetSpace
from lightning_nas.networks.joined_width import JoinedWidth
from lightning_nas.runtime.seeding import generator
from lightning_nas.testing import SMALL_SPACES


def saved(network: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return cast(nn.Module, torch.load(file, weights_only=False))


COPIES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda network: cast(nn.Module, pickle.loads(pickle.dumps(network))),  # noqa: S301 - our own bytes
    "torch.save": saved,
}


@pytest.mark.parametrize("name", SMALL_SPACES)
def test_copies_are_networks_of_their_own(name: str) -> None:
    space, skeleton, size = SMALL_SPACES[name]
    genotype = space.sample(generator(0, name))
    images = torch.randn(2, skeleton.in_channels, size, size, generator=generator(1, name))
    sides: list[tuple[nn.Module, tuple[object, ...]]] = [(space.build(genotype, skeleton), ())]
    if isinstance(space, SupernetSpace):
        sides.append((space.build(None, skeleton), (space.path(genotype),)))
    for network, architecture in sides:
        network(images, *architecture)  # what a run leaves behind goes along or is left
        expected = network.eval()(images, *architecture).logits
        copies = {how: copied(network) for how, copied in COPIES.items()}
        for parameter in network.parameters():
            parameter.data.zero_()
        for how, again in copies.items():
            found: Tensor = again.eval()(images, *architecture).logits
            torch.testing.assert_close(found, expected, rtol=0, atol=0, msg=how)


def test_a_joined_width_keeps_its_states() -> None:
    width = JoinedWidth((3, 5), 16)
    for again in (copy.copy(width), copy.deepcopy(width), pickle.loads(pickle.dumps(width))):  # noqa: S301
        assert (again, again.states, again.width) == (32, (3, 5), 16)
