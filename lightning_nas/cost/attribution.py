"""What of a supernet's cost belongs to which candidate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from lightning_nas.cost.terms import CostTerms, OptionalTerm
from lightning_nas.optional_part import OptionalPart
from lightning_nas.space import SupernetSpace

Tally = Mapping[str, float]
"""A cost by the dotted name of the module or the parameter in the network that has it."""


def attributed(space: SupernetSpace, supernet: nn.Module, tally: Tally) -> CostTerms:
    """The terms of a cost that was taken of a whole supernet.

    Args:
        space: of the supernet.
        supernet: with candidates as children have them.
        tally: the supernet's cost by name, each part once.
    """
    rest = dict(tally)
    tables = {name: torch.zeros(group.shape, dtype=torch.float64) for name, group in space.groups.items()}
    for place in candidates_of(space, supernet):
        tables[place.group][place.row, place.column] += _take(rest, place.name)
    optional = []
    parts = [(part, _sum(rest, part.name)) for part in space.optional_parts(supernet)]
    fixed = sum(rest.values())
    for part, whole in parts:
        cost = part.share * whole
        fixed -= cost if part.needed == "none" else 0.0
        optional.append(OptionalTerm(cost if part.needed == "none" else -cost, _masks(space, part)))
    return CostTerms(fixed, tables, tuple(term for term in optional if term.cost))


class CandidatePlace(NamedTuple):
    """Where a candidate is: the dotted name of its module, and its place in the tables of architecture parameters."""

    name: str
    group: str
    row: int
    column: int


def candidates_of(space: SupernetSpace, network: nn.Module) -> list[CandidatePlace]:
    """The candidates in all cells of a supernet or a child.

    Raises:
        ValueError: the network does not say where they are.
    """
    found = []
    for name, module in network.named_modules():
        group = space.groups.get(getattr(module, "group_name", ""))
        edges = getattr(module, "edges", None)
        if group is None or not isinstance(edges, nn.ModuleDict):
            continue
        rows = {edge.key: row for row, edge in enumerate(group.edges)}
        for key, candidates in edges.items():
            for candidate in cast(nn.ModuleDict, candidates):
                path = ".".join(filter(None, (name, "edges", key, candidate)))
                found.append(CandidatePlace(path, group.name, rows[key], group.candidates.index(candidate)))
    if not found:
        raise ValueError(
            f"{type(space).__name__}: its networks have no module with `group_name` and `edges` (a ModuleDict of edge "
            "keys, each a ModuleDict of candidates): build cells from EdgeCell, so that costs find the candidates."
        )
    return found


def _named(tally: Tally, prefix: str) -> list[str]:
    return [name for name in tally if name == prefix or name.startswith(prefix + ".")]


def _sum(tally: Tally, prefix: str) -> float:
    return sum(tally[name] for name in _named(tally, prefix))


def _take(tally: dict[str, float], prefix: str) -> float:
    return sum(tally.pop(name) for name in _named(tally, prefix))


def _masks(space: SupernetSpace, part: OptionalPart) -> dict[str, Tensor]:
    masks = {}
    for group, places in part.places.items():
        masks[group] = torch.zeros(space.groups[group].shape, dtype=torch.float64)
        for row, column in places:
            masks[group][row, column] = 1.0
    return masks
