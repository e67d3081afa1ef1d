"""Regularized evolution: the oldest dies, not the worst.

Source: Real, Aggarwal, Huang & Le, "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.samplers.base import Sampler
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.trials.trial import Fidelity, Proposal, Trial

Member = tuple[int, Genotype, float]
"""(trial, genotype, reward)."""


class RegularizedEvolution(Sampler):
    """Mutates the best of a random sample of the last children that worked; the first ones are drawn uniformly.

    A trial that failed, or was refused, does not enter the population. The parent of a proposal is the trial that was
    mutated, so that its weights can be inherited.

    Args:
        space: where to search.
        population: how many children live; 100 in the paper.
        sample: how many of them compete to be mutated; 25 in the paper.
        fidelity: as in `Sampler`.
        fixed: as in `Sampler`.

    Raises:
        ValueError: a number below 1, or a sample larger than the population.

    Example:
        >>> from lightning_nas.spaces import NasBench201Space
        >>> RegularizedEvolution(NasBench201Space(), population=10, sample=3).population
        10
    """

    def __init__(
        self,
        space: SearchSpace,
        population: int = 100,
        sample: int = 25,
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(space, fidelity, fixed)
        if population < 1 or not 1 <= sample <= population:
            raise ValueError(
                f"RegularizedEvolution(population={population}, sample={sample}): give a population of at least 1, and "
                "a sample between 1 and the population."
            )
        self.population, self.sample = population, sample
        self.members: list[Member] = []

    def propose(self, trial: int, generator: torch.Generator) -> Proposal:
        """A mutated member, or a child drawn uniformly until the population is full."""
        given = self.fixed_choices(trial)
        if len(self.members) < self.population:
            return Proposal(self.complete(given, generator), self.fidelity, fixed=tuple(given))
        # With replacement, as in the paper's appendix.
        drawn = torch.randint(len(self.members), (self.sample,), generator=generator).tolist()
        parent, genotype, _ = max((self.members[position] for position in drawn), key=lambda member: member[2])
        grown = self.complete(genotype.as_mapping() | given, generator)  # what is given may have changed since
        child = self.space.mutate(grown, generator, fixed=tuple(given))
        return Proposal(child, self.fidelity, parent=parent, fixed=tuple(given))

    def tell(self, trials: Sequence[Trial]) -> None:
        """The children enter, and the oldest die."""
        super().tell(trials)
        born = [(trial.id, trial.genotype, trial.reward) for trial in trials if trial.reward is not None]
        self.members = [*self.members, *born][-self.population :]

    def memory(self) -> dict[str, Any]:
        """The population besides."""
        members = [[trial, genotype.to_dict(), reward] for trial, genotype, reward in self.members]
        return {**super().memory(), "members": members}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` gave."""
        super().remember(memory)
        self.members = [(trial, Genotype.from_dict(plain), reward) for trial, plain, reward in memory["members"]]
