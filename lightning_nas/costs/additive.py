"""What of a supernet's cost belongs to which candidate, and what it is for a relaxed architecture."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn

from lightning_nas.architecture.edges import Architecture, OptionalPart
from lightning_nas.config import Configurable
from lightning_nas.costs.base import AdditiveCost, CostTerms, OptionalTerm
from lightning_nas.costs.networks import BuiltCost, every_candidate, supernet_on_meta
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.spaces.base import SearchSpace, SupernetSpace

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


class CountedCost(BuiltCost, AdditiveCost):
    """A cost that is counted part by part, without numbers; it is exact, and so are its terms."""

    def __init__(self) -> None:
        super().__init__()
        self._terms: dict[tuple[SearchSpace, Skeleton], CostTerms] = {}

    @abstractmethod
    def tally(self, network: nn.Module, skeleton: Skeleton, architecture: Architecture | None) -> Tally:
        """The cost by the names of the network's parts.

        Args:
            network: on the meta device, in eval mode.
            skeleton: under which it was built.
            architecture: of a supernet; None in a child.
        """

    def of(self, network: nn.Module, skeleton: Skeleton) -> float:
        return float(sum(self.tally(network, skeleton, None).values()))

    def terms(self, space: SupernetSpace, skeleton: Skeleton) -> CostTerms:
        key = (space, skeleton)
        if key not in self._terms:
            self.check(space, skeleton)
            counted = self.counted(skeleton)
            supernet = supernet_on_meta(space, counted)
            tally = self.tally(supernet, counted, every_candidate(space))
            self._terms[key] = attributed(space, supernet, tally)
        return self._terms[key]


Mode = Literal["towards", "at_most"]


class ExpectedCost(Configurable):
    """Pulls the architecture of a differentiable search to a cost; the gradient is that of the expected cost.

    The loss of the architecture gets `weight * (cost / target - 1) ** 2`; with `"at_most"` what is below the target
    counts nothing. Its pull fades near the target, which an absolute value would cross back and forth.

    The expected cost is the sum over edges and candidates of how likely each is part of the extracted network, times
    what it costs (Cai et al., "ProxylessNAS", ICLR 2019; Wu et al., "FBNet", CVPR 2019). Probabilities are the softmax
    of the architecture parameters, of DARTS and of GDAS, whose samples have just these. It is that of the final
    network, `Budget(skeleton=...)`, if the budget has one, else that of the search.

    Args:
        cost: a sum over the candidates, such as `Parameters()`.
        target: in its unit.
        weight: of the term in the loss, next to a cross-entropy: 10 makes a tenth off the target count 0.1.
        mode: "towards" the target from both sides, or "at_most" as much.
        straight_through: compare the cost of the network that would be extracted now with the target, with the
            gradient of the expected cost. A soft architecture may have the right cost in expectation and be far from it
            once each edge keeps its strongest candidate; False compares the expectation itself.

    Raises:
        ValueError: a cost that is no sum, or a number or mode out of range.
    """

    def __init__(
        self,
        cost: AdditiveCost,
        target: float,
        weight: float = 10.0,
        mode: Mode = "towards",
        straight_through: bool = True,
    ) -> None:
        if not isinstance(cost, AdditiveCost):
            raise ValueError(
                f"ExpectedCost(cost={type(cost).__name__}): only a cost that is a sum over the candidates has an "
                "expected one: give an AdditiveCost, such as Parameters(), Macs() or TableLatency(...)."
            )
        for name, value in (("target", target), ("weight", weight)):
            if not value > 0:
                raise ValueError(f"ExpectedCost({name}={value}): give a positive number.")
        if mode not in get_args(Mode):
            raise ValueError(f"ExpectedCost(mode={mode!r}): give one of {', '.join(get_args(Mode))}.")
        self.cost, self.target, self.weight = cost, target, weight
        self.mode, self.straight_through = mode, straight_through

    def penalty(self, expected: Tensor, extracted: float | None) -> Tensor:
        """The term of the loss, a scalar.

        Args:
            expected: expected cost as a share of the target, a scalar with gradient.
            extracted: cost of the extracted network as a share of the target; None compares the expectation.
        """
        over = expected - 1.0
        if extracted is not None:
            over = over + (extracted - expected).detach()
        return self.weight * (over.clamp_min(0.0) if self.mode == "at_most" else over).square()


class Expectation:
    """The expected cost of the network that is extracted from a relaxed architecture.

    Args:
        space: gives how likely each candidate is part of it.
        terms: of the cost.
    """

    def __init__(self, space: SupernetSpace, terms: CostTerms) -> None:
        self.space, self.terms = space, terms

    def __call__(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """A scalar with the gradient of the probabilities, (edges, candidates) for each group."""
        device = next(iter(probabilities.values())).device
        if any(values.device != device for values in self.terms.candidates.values()):
            self.terms = _moved(self.terms, device)
        return self.terms.expected(self.space.inclusion(probabilities))


def _moved(terms: CostTerms, device: torch.device) -> CostTerms:
    """The terms on a device, so that they are not copied to it in every step."""
    return CostTerms(
        terms.fixed,
        {name: values.to(device) for name, values in terms.candidates.items()},
        tuple(
            replace(term, places={name: values.to(device) for name, values in term.places.items()})
            for term in terms.optional
        ),
    )
