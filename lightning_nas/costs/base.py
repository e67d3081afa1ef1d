"""The interface of costs, and costs as sums over the candidates of a supernet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.config import Configurable
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.spaces.base import SearchSpace, SupernetSpace


@dataclass(frozen=True)
class OptionalTerm:
    """What is added if none of some candidates is chosen, such as the weights for a state that is a loose end.

    Args:
        cost: what is added; negative where something is needed by any of them and stands in `CostTerms.fixed`.
        places: by group, (edges, candidates), 1.0 for the candidates that it depends on, else 0.0; float64.
    """

    cost: float
    places: Mapping[str, Tensor]


@dataclass(frozen=True)
class CostTerms:
    """A cost as a sum: what every network has, and what each candidate adds where it is chosen.

    Args:
        fixed: of stem, preprocessing, head and whatever else does not depend on the genotype.
        candidates: by group, (edges, candidates), float64: a candidate on an edge, in all cells of the group together.
        optional: what depends on several edges at once: loose ends (NASNet, ENAS), shared reductions (ENAS macro).

    Example:
        >>> terms = CostTerms(10.0, {"cell": torch.tensor([[0.0, 4.0]], dtype=torch.float64)})
        >>> terms.total({"cell": (1,)}), terms.expected({"cell": torch.tensor([[0.5, 0.5]])}).item()
        (14.0, 12.0)
    """

    fixed: float
    candidates: Mapping[str, Tensor]
    optional: tuple[OptionalTerm, ...] = ()

    def total(self, selection: Mapping[str, Sequence[int | None]]) -> float:
        """The cost of one network.

        Args:
            selection: what `SupernetSpace.selection` gives: the candidate kept on each edge of each group.
        """
        chosen = {name: torch.zeros_like(table) for name, table in self.candidates.items()}
        for name, columns in selection.items():
            kept = [(row, column) for row, column in enumerate(columns) if column is not None]
            if kept:
                chosen[name][tuple(zip(*kept, strict=True))] = 1.0
        return self.expected(chosen).item()

    def expected(self, chances: Mapping[str, Tensor]) -> Tensor:
        """The mean cost of networks whose edges draw their candidates independently; differentiable in the chances.

        Args:
            chances: by group, (edges, candidates): how probable it is that a network has the candidate on the edge.
                A row adds up to 1, or to less if the edge may be left out.
        """
        total: Tensor | float = self.fixed
        for name, table in self.candidates.items():
            total = total + (table.to(chances[name]) * chances[name]).sum()
        for term in self.optional:
            none: Tensor | float = 1.0
            for name, places in term.places.items():
                none = none * (1.0 - (places.to(chances[name]) * chances[name]).sum(-1)).prod()
            total = total + term.cost * none
        return torch.as_tensor(total)


class Cost(Configurable, ABC):
    """A number for a network, lower is better.

    It is asked for a genotype under a skeleton, that of the final network, and builds what it needs itself.
    """

    name: str
    """The metric under which it stands in trials, files and plots, with its unit: `params`, `macs`, `latency_ms`."""

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:
        """Refuse, before a search starts, a space or a skeleton that the cost does not know.

        Raises:
            ValueError: names what is missing and the remedy.
        """

    @abstractmethod
    def __call__(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> float:
        """The cost of one network."""


class AdditiveCost(Cost):
    """A cost that is a sum over the candidates of a network, so that a relaxed architecture has an expected one."""

    @abstractmethod
    def terms(self, space: SupernetSpace, skeleton: Skeleton) -> CostTerms:
        """The sum's terms, for children under this skeleton."""
