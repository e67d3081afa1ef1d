"""Fidelities that grow: by the number of the trial, and by successive halving."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.config import revive
from lightning_nas.samplers.base import Sampler
from lightning_nas.training.schedules import value_at
from lightning_nas.trials.trial import Fidelity, Proposal, Trial


class WrappedSampler(Sampler):
    """Base of samplers that leave the choice of genotypes to another one.

    Args:
        sampler: proposes the genotypes and learns.
    """

    def __init__(self, sampler: Sampler) -> None:
        super().__init__(sampler.space, sampler.fidelity)
        self.sampler, self.optimizer, self.objectives = sampler, sampler.optimizer, sampler.objectives

    def tell(self, trials: Sequence[Trial]) -> None:
        """Both learn."""
        super().tell(trials)
        self.sampler.tell(trials)

    def losses(self, trials: Sequence[Trial]) -> Iterator[Tensor]:
        """Those of the wrapped sampler."""
        return self.sampler.losses(trials)

    def figures(self) -> dict[str, float]:
        """Those of the wrapped sampler."""
        return self.sampler.figures()


class FidelitySchedule(WrappedSampler):
    """Trains children at fidelities that change with the number of the trial.

    Args:
        sampler: proposes the genotypes and learns.
        fidelities: by the number of the trial from which on they hold; 0 must be among them.

    Raises:
        ValueError: no fidelity for the first trial.

    Example:
        >>> from lightning_nas import UniformSampler
        >>> from lightning_nas.spaces import NasBench201Space
        >>> fidelities = {0: Fidelity(epochs=2), 100: Fidelity(epochs=8)}
        >>> sampler = FidelitySchedule(UniformSampler(NasBench201Space()), fidelities)
        >>> [sampler.propose(trial, torch.Generator()).fidelity.epochs for trial in (99, 100)]
        [2, 8]
    """

    def __init__(self, sampler: Sampler, fidelities: Mapping[int, Fidelity | dict[str, Any]]) -> None:
        super().__init__(sampler)
        self.fidelities = {int(trial): revive(Fidelity, value) for trial, value in fidelities.items()}
        if 0 not in self.fidelities:
            raise ValueError(
                f"FidelitySchedule(fidelities=...) begins with trial {min(self.fidelities, default=None)}: give a "
                "fidelity for trial 0 too."
            )

    def propose(self, trial: int, generator: torch.Generator) -> Proposal:
        """The wrapped sampler's child at the fidelity of the trial."""
        fidelity = value_at(self.fidelities, trial) or self.fidelity
        return replace(self.sampler.propose(trial, generator), fidelity=fidelity)


Entry = tuple[int, Genotype, float, tuple[str, ...]]
"""(trial, genotype, reward, fixed decisions) of a child in a rung."""


class SuccessiveHalving(WrappedSampler):
    """Proposes new children at the lowest fidelity, and lets the best share of each rung go on at the next.

    A child goes on from its own weights if the evaluator keeps them, and trains the epochs that are missing. The
    wrapped sampler learns from the lowest rung alone, since rewards at different fidelities do not compare.

    Args:
        sampler: proposes new children.
        rungs: fidelities from the lowest to the highest, with growing epochs.
        keep: share of a rung that goes on; 1/3 in the papers.

    Raises:
        ValueError: fewer than two rungs, rungs out of order, or a share outside (0, 1).

    Example:
        >>> from lightning_nas import Fidelity, UniformSampler
        >>> from lightning_nas.spaces import NasBench201Space
        >>> rungs = [Fidelity(epochs=2), Fidelity(epochs=6), Fidelity(epochs=18)]
        >>> SuccessiveHalving(UniformSampler(NasBench201Space()), rungs).rungs[-1].epochs
        18
    """

    def __init__(self, sampler: Sampler, rungs: Sequence[Fidelity | dict[str, Any]], keep: float = 1 / 3) -> None:
        super().__init__(sampler)
        self.rungs = tuple(revive(Fidelity, rung) for rung in rungs)
        self.keep = keep
        epochs = [rung.epochs for rung in self.rungs]
        if len(epochs) < 2 or epochs != sorted(set(epochs)):
            raise ValueError(
                f"SuccessiveHalving(rungs with epochs {epochs}): give two or more, each with more epochs than the last."
            )
        if not 0.0 < keep < 1.0:
            raise ValueError(f"SuccessiveHalving(keep={keep}): give a share between 0 and 1, such as 1/3.")
        self.entries: list[list[Entry]] = [[] for _ in self.rungs]
        self.promoted: set[int] = set()

    def ask(self, count: int, *, generator: torch.Generator) -> list[Proposal]:
        """Promotions from the highest rung down, then new children."""
        promotions = self._promotions()[:count]
        fresh = self.sampler.ask(count - len(promotions), generator=generator) if count > len(promotions) else []
        return promotions + [Proposal(p.genotype, self.rungs[0], p.parent, fixed=p.fixed) for p in fresh]

    def propose(self, trial: int, generator: torch.Generator) -> Proposal:  # noqa: ARG002 - a round has several
        """The next child."""
        return self.ask(1, generator=generator)[0]

    def _promotions(self) -> list[Proposal]:
        found = []
        for rung in reversed(range(len(self.rungs) - 1)):
            entries = self.entries[rung]
            best = sorted(entries, key=lambda entry: (-entry[2], entry[0]))[: int(len(entries) * self.keep)]
            for trial, genotype, _, fixed in best:
                if trial not in self.promoted:
                    start = self.rungs[rung].epochs
                    found.append(Proposal(genotype, self.rungs[rung + 1], trial, start_epoch=start, fixed=fixed))
        return found

    def tell(self, trials: Sequence[Trial]) -> None:
        """Children take their rung; those that went on do so once, even if they have failed."""
        Sampler.tell(self, trials)
        self.sampler.tell(self._lowest(trials))
        for trial in trials:
            if trial.proposal.start_epoch and trial.proposal.parent is not None:
                self.promoted.add(trial.proposal.parent)
            if trial.reward is not None:
                rung = self.rungs.index(trial.proposal.fidelity)
                self.entries[rung].append((trial.id, trial.genotype, trial.reward, trial.proposal.fixed))

    def _lowest(self, trials: Sequence[Trial]) -> list[Trial]:
        return [trial for trial in trials if trial.proposal.fidelity == self.rungs[0]]

    def losses(self, trials: Sequence[Trial]) -> Iterator[Tensor]:
        """Those of the wrapped sampler on the lowest rung."""
        lowest = self._lowest(trials)
        return self.sampler.losses(lowest) if lowest else iter(())

    def memory(self) -> dict[str, Any]:
        """The rungs besides."""
        entries = [[[t, g.to_dict(), reward, list(fixed)] for t, g, reward, fixed in rung] for rung in self.entries]
        return {**super().memory(), "entries": entries, "promoted": sorted(self.promoted)}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` gave."""
        super().remember(memory)
        self.entries = [
            [(trial, Genotype.from_dict(plain), reward, tuple(fixed)) for trial, plain, reward, fixed in rung]
            for rung in memory["entries"]
        ]
        self.promoted = set(memory["promoted"])
