"""Search spaces: decisions with a network for each genotype, and supernet spaces with edge groups besides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from lightning_nas.architecture.decisions import Decision
from lightning_nas.architecture.edges import Architecture, Edge, EdgeGroup, EdgeWeights, OptionalPart
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.config import Configurable
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import Skeleton


class SearchSpace(Configurable, ABC):
    """A set of architectures: named decisions, and the network for each combination of their options."""

    @property
    @abstractmethod
    def decisions(self) -> tuple[Decision, ...]:
        """All decisions, each after those its condition names."""

    @abstractmethod
    def build(self, genotype: Genotype, skeleton: Skeleton, execution: Execution = Execution()) -> nn.Module:
        """The child network: `forward(images)` gives a `NetworkOutput`."""

    @abstractmethod
    def skeleton(self, **sizes: object) -> Skeleton:
        """The published skeleton of this space, changed as asked."""

    def parse(self, text: str) -> Genotype:
        """The genotype in the text format that the space's authors publish."""
        raise NotImplementedError(f"{type(self).__name__} has no published text format; use Genotype.load.")

    def format(self, genotype: Genotype) -> str:
        """The genotype in the text format of the space's authors."""
        raise NotImplementedError(f"{type(self).__name__} has no published text format; use Genotype.save.")

    @cached_property
    def size(self) -> int:
        """Number of genotypes."""
        referenced = {decision.condition.decision for decision in self.decisions if decision.condition}
        return self._count(self.decisions, {}, referenced)

    def _count(self, decisions: Sequence[Decision], prefix: dict[str, str], referenced: set[str]) -> int:
        total = 1
        for index, decision in enumerate(decisions):
            if not decision.active(prefix):
                continue
            if decision.name in referenced:
                rest = decisions[index + 1 :]
                return total * sum(
                    self._count(rest, {**prefix, decision.name: o}, referenced) for o in decision.options
                )
            total *= len(decision.options)
        return total

    def genotype(self, choices: Mapping[str, str]) -> Genotype:
        """A checked genotype from choices by decision name, in any order."""
        return self.check(Genotype(type(self).__name__, tuple(choices.items())))

    def sample(self, generator: torch.Generator) -> Genotype:
        """A genotype whose active decisions are drawn uniformly, in order."""
        choices: dict[str, str] = {}
        for decision in self.decisions:
            if decision.active(choices):
                choices[decision.name] = decision.sample(generator)
        return self.genotype(choices)

    def mutate(self, genotype: Genotype, generator: torch.Generator, fixed: Collection[str] = ()) -> Genotype:
        """A neighbour: one active decision takes another option; decisions that become active are drawn.

        Args:
            genotype: of this space.
            generator: all random numbers come from it.
            fixed: decisions that stay as they are.

        Raises:
            ValueError: the space has no second architecture.
        """
        old = genotype.as_mapping()
        changeable = [d for d in self.decisions if d.name in old and len(d.options) > 1 and d.name not in fixed]
        if not changeable:
            besides = f" with {', '.join(fixed)} fixed" if fixed else ""
            raise ValueError(f"{type(self).__name__} holds one architecture only{besides}: there is nothing to mutate.")
        chosen = changeable[int(torch.randint(len(changeable), (), generator=generator))]
        old[chosen.name] = chosen.another(old[chosen.name], generator)
        choices: dict[str, str] = {}
        for decision in self.decisions:
            if decision.active(choices):
                choices[decision.name] = old[decision.name] if decision.name in old else decision.sample(generator)
        return self.genotype(choices)

    def check(self, genotype: Genotype) -> Genotype:
        """The genotype with its choices in the order of the decisions, if it is one of this space.

        Raises:
            ValueError: it belongs to another space, misses a decision, or holds an unknown decision or option.
        """
        name = type(self).__name__
        if genotype.space != name:
            raise ValueError(f"The genotype is one of {genotype.space}, not of {name}: give the space it was found in.")
        choices = genotype.as_mapping()
        active = {decision.name: decision for decision in self.decisions if decision.active(choices)}
        for decision_name, decision in active.items():
            if decision_name not in choices:
                raise ValueError(
                    f"The genotype misses the decision {decision_name!r} of {name}: was its file cut short?"
                )
            if choices[decision_name] not in decision.options:
                raise ValueError(
                    f"The genotype chooses {decision_name}={choices[decision_name]!r}, which {name} does not offer: "
                    f"give one of {', '.join(decision.options[:20])}."
                )
        for decision_name in choices:
            if decision_name not in active:
                raise ValueError(f"The genotype decides {decision_name!r}, no active decision of {name}: remove it.")
        return Genotype(name, tuple((decision_name, choices[decision_name]) for decision_name in active))

    def __contains__(self, genotype: object) -> bool:
        try:
            return isinstance(genotype, Genotype) and self.check(genotype) == genotype
        except ValueError:
            return False


class SupernetSpace(SearchSpace):
    """A space whose architectures are all paths of one network, the supernet.

    Laws, tested by `lightning_nas.testing.SupernetSpaceContract`: discretising the one-hot values of a path gives the
    genotype back; a child's keys are among the supernet's; a child with the supernet's weights is its path.
    """

    inactive_gradient: bool = False
    """Whether methods that run one candidate an edge add the zero-valued weights of the others, by default."""

    @property
    @abstractmethod
    def groups(self) -> Mapping[str, EdgeGroup]:
        """Edge groups by name: the shapes of the architecture parameters."""

    @abstractmethod
    def build(self, genotype: Genotype | None, skeleton: Skeleton, execution: Execution = Execution()) -> nn.Module:
        """A child, or with None the supernet, whose `forward(images, architecture)` takes edge weights besides."""

    @abstractmethod
    def selection(self, genotype: Genotype) -> dict[str, tuple[int | None, ...]]:
        """For each group the candidate that the genotype keeps on each edge, by index; None where it keeps no edge."""

    @abstractmethod
    def discretize(self, probabilities: Mapping[str, Tensor]) -> Genotype:
        """The genotype that this space extracts from (edges, candidates) probabilities of each group."""

    def inclusion(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """How likely each candidate on each edge is part of the extracted network, (edges, candidates) for each group.

        A cost's expectation is over these, and gradients go through them. By default they are the probabilities
        themselves; a space whose `discretize` leaves edges or candidates out says here how likely it keeps them. The
        one-hot values of a path stay as they are, and of random architectures the shares are what a uniform draw has.
        """
        return dict(probabilities)

    def path(self, genotype: Genotype) -> Architecture:
        """The genotype as an architecture of the supernet: one-hot float32 rows, only the chosen candidates active."""
        architecture = {}
        for name, chosen in self.selection(self.check(genotype)).items():
            values = torch.zeros(self.groups[name].shape)
            for row, column in enumerate(chosen):
                if column is not None:
                    values[row, column] = 1.0
            active = tuple(() if column is None else (column,) for column in chosen)
            architecture[name] = EdgeWeights(values, active)
        return architecture

    def kept(self, genotype: Genotype | None) -> dict[str, tuple[tuple[int, ...], ...]]:
        """Candidates kept on each edge of each group, by index: all in the supernet, at most one in a child."""
        if genotype is None:
            return {name: (tuple(range(g.shape[1])),) * g.shape[0] for name, g in self.groups.items()}
        chosen = self.selection(self.check(genotype))
        return {name: tuple(() if c is None else (c,) for c in columns) for name, columns in chosen.items()}

    def optional_parts(self, supernet: nn.Module) -> Iterator[OptionalPart]:  # noqa: ARG002 - of this space there are none
        """What a child has outside its edges under some genotypes only; costs that are sums need to know.

        Most spaces have nothing of the kind: what stands around their edges is the same in all children.

        Args:
            supernet: what `build(None, skeleton)` gave.
        """
        yield from ()

    def connections(self, genotype: Genotype) -> dict[str, tuple[tuple[Edge, str], ...]]:
        """The cells of a genotype as graphs: for each group its kept edges and their operations."""
        return {
            name: tuple(
                (edge, self.groups[name].candidates[column])
                for edge, column in zip(self.groups[name].edges, chosen, strict=True)
                if column is not None
            )
            for name, chosen in self.selection(genotype).items()
        }


class EdgewiseSpace(SupernetSpace):
    """A supernet space with one decision for each edge, like NAS-Bench-201: only `groups` and `build` are its own."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        return tuple(Decision(name, group.candidates) for name, group, _ in self._rows())

    def _rows(self) -> Iterator[tuple[str, EdgeGroup, Edge]]:
        for name, group in self.groups.items():
            for edge in group.edges:
                yield f"{name}.{edge.key}", group, edge

    def selection(self, genotype: Genotype) -> dict[str, tuple[int | None, ...]]:
        choices = genotype.as_mapping()
        return {
            name: tuple(group.candidates.index(choices[f"{name}.{edge.key}"]) for edge in group.edges)
            for name, group in self.groups.items()
        }

    def discretize(self, probabilities: Mapping[str, Tensor]) -> Genotype:
        choices = {}
        for name, group in self.groups.items():
            for edge, row in zip(group.edges, probabilities[name].tolist(), strict=True):
                choices[f"{name}.{edge.key}"] = group.candidates[row.index(max(row))]
        return self.genotype(choices)
