"""Derivation: which of the paths of a trained supernet is the result."""

from __future__ import annotations

from typing import get_args

from lightning_nas.config import Configurable
from lightning_nas.evaluators.path_score import Statistics
from lightning_nas.samplers import Sampler


class Derivation(Configurable):
    """Scores sampled paths on validation images; the best one is what the search has found.

    Source: Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018: ten paths of the
    controller, one batch. Li & Talwalkar, UAI 2019: a hundred or more random ones. Guo et al., ECCV 2020: evolution,
    and running statistics computed anew for each path.

    Args:
        candidates: how many paths are scored.
        batches: validation batches that each is scored on; they stay in the device's memory meanwhile.
        every: a derivation every so many epochs, besides that after the last one; 0: only that one.
        statistics: "batch": norms use each validation batch's own statistics; "recalibrated": running ones that are
            computed anew for each path on training batches.
        recalibrate: number of these batches.
        sampler: proposes the paths and is told their scores, such as a `RegularizedEvolution`; it begins anew in each
            derivation. None is the search's own sampler, which learns nothing from it.
        round_size: paths that are proposed at once.

    Raises:
        ValueError: an argument is out of range, or the paths are not whole rounds.

    Example:
        >>> Derivation(candidates=100, batches=4).every
        1
    """

    def __init__(
        self,
        candidates: int = 10,
        batches: int = 1,
        every: int = 1,
        statistics: Statistics = "batch",
        recalibrate: int = 20,
        sampler: Sampler | None = None,
        round_size: int = 10,
    ) -> None:
        numbers = {"candidates": candidates, "batches": batches, "recalibrate": recalibrate, "round_size": round_size}
        for name, value in numbers.items():
            if value < 1:
                raise ValueError(f"Derivation({name}={value}): give at least 1.")
        if every < 0:
            raise ValueError(f"Derivation(every={every}): give a number of epochs, or 0 for the end only.")
        if statistics not in get_args(Statistics):
            raise ValueError(f"Derivation(statistics={statistics!r}): give one of {', '.join(get_args(Statistics))}.")
        if candidates % round_size:
            raise ValueError(
                f"Derivation(candidates={candidates}, round_size={round_size}): give candidates as a multiple of it."
            )
        self.candidates, self.batches, self.every = candidates, batches, every
        self.statistics, self.recalibrate = statistics, recalibrate
        self.sampler, self.round_size = sampler, round_size

    def is_due(self, epoch: int, epochs: int) -> bool:
        """Whether there is one at the end of an epoch, of a fit of so many."""
        return epoch + 1 == epochs or bool(self.every and (epoch + 1) % self.every == 0)
