"""Random search, the baseline that every method has to beat."""

from __future__ import annotations

import torch

from lightning_nas.sampler.base import Sampler
from lightning_nas.trial import Proposal


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
