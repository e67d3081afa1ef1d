"""Samplers: who proposes children and learns from what became of them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.config import Configurable
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.optimizer import Adam
from lightning_nas.training.schedules import value_at
from lightning_nas.trials.objectives import Objectives
from lightning_nas.trials.trial import Fidelity, Proposal, Trial


class Sampler(nn.Module, Configurable, ABC):
    """Proposes children and learns from what became of them.

    `ask` has no effect: asked again in the same state with an equal generator it gives the same. All that a sampler has
    learned is in its `state_dict`, so a search resumes exactly.

    Args:
        space: where to search.
        fidelity: what children are trained at; None is `Fidelity()`.
        fixed: decisions that are given, by the number of the trial from which on they are: `{0: {"depth": "6"}, 1600:
            {"depth": "8"}}` lets a chain grow while it is searched.

    Raises:
        ValueError: a fixed decision or option that the space does not have.
    """

    optimizer: Adam | None = None
    """Of the parameters, for samplers that have some."""
    objectives: Objectives | None = None
    """For samplers that learn from several metrics instead of the reward."""

    def __init__(
        self,
        space: SearchSpace,
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__()
        self.space, self.fidelity = space, fidelity or Fidelity()
        self.fixed = {int(trial): dict(choices) for trial, choices in (fixed or {}).items()}
        self.told = 0
        """Number of trials that the sampler was told of."""
        options = {decision.name: decision.options for decision in space.decisions}
        for choices in self.fixed.values():
            for name, option in choices.items():
                if option not in options.get(name, ()):
                    raise ValueError(
                        f"{type(self).__name__}(fixed=...): {type(space).__name__} has no decision {name!r} with the "
                        f"option {option!r}. Its decisions begin with {', '.join(list(options)[:8])}."
                    )

    def ask(self, count: int, *, generator: torch.Generator) -> list[Proposal]:
        """The next `count` children, which are then evaluated side by side.

        Args:
            count: how many, at least 1.
            generator: all random numbers come from it.
        """
        return [self.propose(self.told + index, generator) for index in range(count)]

    @abstractmethod
    def propose(self, trial: int, generator: torch.Generator) -> Proposal:
        """The child of one trial; called for each of a round, before any of them is evaluated."""

    def tell(self, trials: Sequence[Trial]) -> None:
        """Learn what became of all children of a round, in the order of their numbers.

        Failed ones, and those that were refused since they break a limit, have no reward.
        """
        self.told += len(trials)

    def losses(self, trials: Sequence[Trial]) -> Iterator[Tensor]:  # noqa: ARG002 - for those that learn by gradients
        """Losses of a round of trials to step on, one after the other; none for samplers without parameters.

        Each is asked for after the step on the one before. Called before `tell`.
        """
        return iter(())

    def figures(self) -> dict[str, float]:
        """What to log after a round, by name."""
        return {}

    def fixed_choices(self, trial: int) -> dict[str, str]:
        """Decisions that are given in a trial."""
        return value_at(self.fixed, trial) or {}

    def complete(self, choices: Mapping[str, str], generator: torch.Generator) -> Genotype:
        """A genotype with some choices given, as far as they count, and the others drawn uniformly."""
        found: dict[str, str] = {}
        for decision in self.space.decisions:
            if decision.active(found):
                found[decision.name] = choices.get(decision.name) or decision.sample(generator)
        return self.space.genotype(found)

    def memory(self) -> dict[str, Any]:
        """What the sampler has learned besides its parameters, as plain data for the checkpoint."""
        return {"told": self.told}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` gave."""
        self.told = memory["told"]

    def get_extra_state(self) -> Tensor:
        """`memory()` as bytes, so that a state_dict holds tensors only."""
        return torch.tensor(list(json.dumps(self.memory()).encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Take back what `get_extra_state` gave."""
        self.remember(json.loads(bytes(state.tolist())))


class UniformSampler(Sampler):
    """Draws every decision uniformly; arguments as in `Sampler`.

    Source: Li & Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.

    Example:
        >>> from lightning_nas.spaces import NasBench201Space
        >>> space = NasBench201Space()
        >>> (proposal,) = UniformSampler(space).ask(1, generator=torch.Generator().manual_seed(0))
        >>> proposal.genotype in space
        True
    """

    def propose(self, trial: int, generator: torch.Generator) -> Proposal:
        """A child drawn uniformly."""
        given = self.fixed_choices(trial)
        return Proposal(self.complete(given, generator), self.fidelity, fixed=tuple(given))
