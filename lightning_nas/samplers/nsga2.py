"""NSGA-II: evolution towards a whole front instead of one best child.

Source: Deb, Pratap, Agarwal & Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE
Transactions on Evolutionary Computation 6(2), 2002. Sorting and crowding distances are pymoo's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Any

import torch

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.functional.pareto import rank_and_crowding
from lightning_nas.runtime.seeding import derive_seed
from lightning_nas.samplers.base import Sampler
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.trials.objectives import Direction, Objectives, check_pymoo
from lightning_nas.trials.trial import Fidelity, Proposal, Trial

Member = tuple[int, Genotype, tuple[float, ...]]
"""(trial, genotype, objectives with lower as better)."""
_ATTEMPTS = 100


class Nsga2Sampler(Sampler):
    """Crosses and mutates members of a population, which keeps the best fronts, and in the last one the least crowded.

    A round as large as the population is a generation of the paper; smaller rounds are the steady-state variant. Two
    parents are the winners of binary tournaments by rank, then crowding distance. A child takes each decision from
    either of them, then mutates; where a decision counts that neither has, it is drawn. A genotype that was proposed
    before is mutated again until it is new, a hundred times at most. Failed trials do not enter. The parent of a
    proposal is the first of the two.

    Args:
        space: where to search.
        objectives: "max" or "min" by the name of a metric of the trials, at least two.
        population: how many members live; the first ones are drawn uniformly. 100 in the paper.
        crossover: probability that a child has two parents; 0.9 in the paper.
        mutation: probability that a decision takes another option; None is 1 / the number of decisions that the parents
            have, as in the paper.
        fidelity: as in `Sampler`.
        fixed: as in `Sampler`.

    Raises:
        ValueError: a number out of range, or objectives that are none.
        MisconfigurationException: pymoo is not installed.

    Example:
        >>> from lightning_nas.spaces import NasBench201Space
        >>> Nsga2Sampler(NasBench201Space(), {"val/accuracy": "max", "params": "min"}, population=20).population
        20
    """

    def __init__(
        self,
        space: SearchSpace,
        objectives: Mapping[str, Direction],
        population: int = 100,
        crossover: float = 0.9,
        mutation: float | None = None,
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(space, fidelity, fixed)
        if population < 2:
            raise ValueError(f"Nsga2Sampler(population={population}): give at least 2, who can be crossed.")
        for name, value in (("crossover", crossover), ("mutation", mutation)):
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"Nsga2Sampler({name}={value}): give a probability in [0, 1].")
        self.objectives: Objectives = Objectives(objectives, "Nsga2Sampler")
        check_pymoo("Nsga2Sampler")
        self.population, self.crossover, self.mutation = population, crossover, mutation
        self.members: list[Member] = []
        self._standing: list[tuple[int, float]] = []  # (rank, crowding distance) of each member
        self._seen: set[int] = set()

    def ask(self, count: int, *, generator: torch.Generator) -> list[Proposal]:
        """The next children, all different as long as new ones are found."""
        found: list[Proposal] = []
        asked: set[int] = set()
        for index in range(count):
            found.append(self._new(self.told + index, generator, asked))
            asked.add(_key(found[-1].genotype))
        return found

    def propose(self, trial: int, generator: torch.Generator) -> Proposal:
        """One child, of two members, or drawn uniformly until the population is full."""
        return self._new(trial, generator, ())

    def _new(self, trial: int, generator: torch.Generator, asked: Collection[int]) -> Proposal:
        given, parent = self.fixed_choices(trial), None
        if len(self.members) < self.population:
            child = self.complete(given, generator)
        else:
            (parent, first), (_, second) = (self._winner(generator) for _ in range(2))
            child = self._varied(self._crossed(first, second, generator), given, self.mutation, generator)
        for _ in range(_ATTEMPTS):
            if (key := _key(child)) not in self._seen and key not in asked:
                break
            child = self._varied(child.as_mapping(), given, None, generator)
        return Proposal(child, self.fidelity, parent=parent, fixed=tuple(given))

    def _winner(self, generator: torch.Generator) -> tuple[int, Genotype]:
        drawn = torch.randint(len(self.members), (2,), generator=generator).tolist()
        # Of equals the one drawn first, so that neither place in the list is favoured.
        best = min(drawn, key=lambda index: (self._standing[index][0], -self._standing[index][1]))
        return self.members[best][:2]

    def _crossed(self, first: Genotype, second: Genotype, generator: torch.Generator) -> dict[str, str]:
        one, other = first.as_mapping(), second.as_mapping()
        if not _happens(self.crossover, generator):
            return one
        return other | {name: other[name] if name in other and _happens(0.5, generator) else one[name] for name in one}

    def _varied(
        self, choices: Mapping[str, str], given: Mapping[str, str], rate: float | None, generator: torch.Generator
    ) -> Genotype:
        """A mutated genotype; what is given counts as far as it is active, and what is missing is drawn."""
        rate = 1.0 / max(1, len(choices)) if rate is None else rate
        found: dict[str, str] = {}
        for decision in self.space.decisions:
            if not decision.active(found):
                continue
            option = given.get(decision.name) or choices.get(decision.name)
            if option is None:
                option = decision.sample(generator)
            elif decision.name not in given and len(decision.options) > 1 and _happens(rate, generator):
                option = decision.another(option, generator)
            found[decision.name] = option
        return self.space.genotype(found)

    def tell(self, trials: Sequence[Trial]) -> None:
        """Children enter, and the best of all stay."""
        super().tell(trials)
        self._seen.update(_key(trial.genotype) for trial in trials)
        points = [(trial, self.objectives.point_of(trial)) for trial in trials]
        born = [(trial.id, trial.genotype, point) for trial, point in points if point is not None]
        self._select([*self.members, *born])

    def _select(self, members: Sequence[Member]) -> None:
        standing = rank_and_crowding([point for _, _, point in members])
        order = sorted(range(len(members)), key=lambda index: (standing[index][0], -standing[index][1]))
        alive = sorted(order[: self.population])
        self.members, self._standing = [members[i] for i in alive], [standing[i] for i in alive]

    def figures(self) -> dict[str, float]:
        """How many members no other dominates."""
        return {"front": float(sum(rank == 0 for rank, _ in self._standing))}

    def memory(self) -> dict[str, Any]:
        """The population and what was seen besides."""
        members = [[trial, genotype.to_dict(), list(point)] for trial, genotype, point in self.members]
        return {**super().memory(), "members": members, "standing": self._standing, "seen": sorted(self._seen)}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` gave."""
        super().remember(memory)
        self.members = [(trial, Genotype.from_dict(plain), tuple(point)) for trial, plain, point in memory["members"]]
        self._standing = [(rank, distance) for rank, distance in memory["standing"]]
        self._seen = set(memory["seen"])


def _key(genotype: Genotype) -> int:
    """A number for a genotype: a set of these stays small in a checkpoint."""
    return derive_seed(0, *chain.from_iterable(genotype))


def _happens(probability: float, generator: torch.Generator) -> bool:
    return bool(torch.rand((), generator=generator) < probability)
