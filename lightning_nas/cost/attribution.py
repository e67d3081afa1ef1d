"""What of a supernet's cost belongs to which candidate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

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

    Raises:
        ValueError: the supernet does not say where its candidates are.
    """
    rest = dict(tally)
    tables = {name: torch.zeros(group.shape, dtype=torch.float64) for name, group in space.groups.items()}
    found = False
    for prefix, group, row, column in _candidates(space, supernet):
        tables[group][row, column] += _take(rest, prefix)
        found = True
    if not found:
        raise ValueError(
            f"{type(space).__name__}: its supernet has no module with `group_name` and `edges` (a ModuleDict of edge "
            "keys, each a ModuleDict of candidates): build its cells from EdgeCell, so that costs find the candidates."
        )
    optional = []
    parts = [(part, _sum(rest, part.name)) for part in space.optional_parts(supernet)]
    fixed = sum(rest.values())
    for part, whole in parts:
        cost = part.share * whole
        fixed -= cost if part.needed == "none" else 0.0
        optional.append(OptionalTerm(cost if part.needed == "none" else -cost, _masks(space, part)))
    return CostTerms(fixed, tables, tuple(term for term in optional if term.cost))


def _candidates(space: SupernetSpace, supernet: nn.Module) -> Iterator[tuple[str, str, int, int]]:
    """(name of the module, group, row, column) of each candidate in each cell."""
    for name, module in supernet.named_modules():
        group = space.groups.get(getattr(module, "group_name", ""))
        edges = getattr(module, "edges", None)
        if group is None or not isinstance(edges, nn.ModuleDict):
            continue
        rows = {edge.key: row for row, edge in enumerate(group.edges)}
        for key, candidates in edges.items():
            for candidate in cast(nn.ModuleDict, candidates):
                prefix = ".".join(filter(None, (name, "edges", key, candidate)))
                yield prefix, group.name, rows[key], group.candidates.index(candidate)


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
