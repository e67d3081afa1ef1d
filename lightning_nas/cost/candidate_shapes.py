"""Which candidates a network can have, and what they read: the rows of a latency table."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_nas.cost.attribution import CandidatePlace, candidates_of
from lightning_nas.cost.network import every_candidate, on_meta, supernet_on_meta
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SupernetSpace


class PlacedCandidate(NamedTuple):
    """A candidate in a cell.

    Args:
        place: where it is.
        shape: of what it reads, (B, C, H, W).
        key: the same for candidates that do the same.
    """

    place: CandidatePlace
    shape: tuple[int, ...]
    key: str


def placed_candidates(space: SupernetSpace, skeleton: Skeleton, images: Sequence[int]) -> list[PlacedCandidate]:
    """All candidates in all cells of a space's networks, as children have them.

    Args:
        space: whose candidates.
        skeleton: of the children.
        images: shape of the batch, (B, C, H, W).
    """
    supernet = supernet_on_meta(space, skeleton)
    shapes: dict[nn.Module, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        shapes[module] = tuple(inputs[0].shape), tuple(output.shape)

    places = candidates_of(space, supernet)
    modules = [supernet.get_submodule(place.name) for place in places]
    handles = [module.register_forward_hook(note) for module in modules]
    with torch.no_grad():
        supernet(on_meta(*images), every_candidate(space))
    for handle in handles:
        handle.remove()
    found = []
    for place, module in zip(places, modules, strict=True):
        read, given = shapes[module]
        name = place.name.rpartition(".")[2]
        key = f"{name} {_sizes(read)} -> {_sizes(given)} {_structure(module)}"
        if skeleton.execution == "edge_by_edge":
            key += " edge_by_edge"  # another layout in memory
        found.append(PlacedCandidate(place, read, key))
    return found


def _sizes(shape: Sequence[int]) -> str:
    """Without the batch, which all entries of a table have in common."""
    return "x".join(map(str, shape[1:]))


def _structure(module: nn.Module) -> str:
    """A word that differs between modules of the same name that are built differently, such as in their norms."""
    weights = [(name, tuple(weight.shape)) for name, weight in module.state_dict().items()]
    return digest(f"{module!r} {weights}")


def digest(text: str) -> str:
    """Eight letters and digits that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
