"""Fidelities that follow the number of the trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lightning_nas.config import revive
from lightning_nas.functional.schedule import value_at
from lightning_nas.sampler.base import Sampler
from lightning_nas.trial import Fidelity, Proposal, Trial


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
