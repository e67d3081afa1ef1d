"""The contracts of spaces, for every space that the package has."""

from __future__ import annotations

import pytest

import lightning_nas.spaces
import lightning_nas.testing
from lightning_nas import SearchSpace, SupernetSpace
from lightning_nas.testing import SMALL_SPACES, SpaceContract, SupernetSpaceContract

pytestmark = pytest.mark.slow

PUBLIC = [getattr(lightning_nas.spaces, name) for name in lightning_nas.spaces.__all__]
SPACES = [item for item in PUBLIC if isinstance(item, type) and issubclass(item, SearchSpace)]


def suite(name: str) -> type:
    """The contract as a test class for one case."""
    space, skeleton, size = SMALL_SPACES[name]
    members = {
        "image_shape": (skeleton.in_channels, size, size),
        "space": lambda self: type(space)(**space.recorded()),
        "skeleton": lambda self: skeleton,
    }
    base = SupernetSpaceContract if isinstance(space, SupernetSpace) else SpaceContract
    return type(f"Test{name.replace('-', '_')}", (base,), members)


for _name in SMALL_SPACES:
    globals()[f"Test{_name.replace('-', '_')}"] = suite(_name)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.__name__)
def test_every_space_has_a_suite(space: type[SearchSpace]) -> None:
    tested = {type(case.space) for case in SMALL_SPACES.values()}
    assert space in tested, f"Give {space.__name__} a place in SMALL_SPACES: its contract is untested."


def test_contracts_are_not_collected_by_themselves() -> None:
    assert not [name for name in lightning_nas.testing.__all__ if name.startswith("Test")]
