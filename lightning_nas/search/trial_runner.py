"""Trials of a search: those that are finished, and how the next one is evaluated."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.cost import Costing
from lightning_nas.evaluator import Evaluator, Job
from lightning_nas.reward import Reward
from lightning_nas.search.budgeted import contradiction
from lightning_nas.search.trial_file import TrialFile
from lightning_nas.trial import Evaluation, Proposal, Trial


class TrialRunner:
    """Evaluates the trials of a search, each once, and writes it down at once; one over a limit is refused instead.

    Args:
        evaluator: says what a child is worth.
        reward: makes one number of it.
        job: what is to be evaluated, for the number of a trial, its proposal and the first number of its round.
        path: of the trials file.
        costing: what children cost, which is added to their metrics, and the limits.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        reward: Reward,
        job: Callable[[int, Proposal, int], Job],
        path: Path,
        costing: Costing,
    ) -> None:
        self.evaluator, self.reward, self.job, self.file = evaluator, reward, job, TrialFile(path)
        self.costing = costing
        self.known: dict[int, Trial] = {}
        """All finished trials by number."""

    def read(self, earlier: str) -> None:
        """Take the trials of the file, and those of an earlier run's, which are copied if the file is another one."""
        self.known = (TrialFile(Path(earlier)).read() if earlier else {}) | self.file.read()
        if self.known:
            self.file.append(self.known.values())

    def keep(self, trials: Sequence[Trial], write: bool) -> None:
        """Know trials that other ranks have evaluated; they are written where the ranks share no files."""
        self.known.update({trial.id: trial for trial in trials})
        if write:
            self.file.append(trials)

    def trial(self, number: int, proposal: Proposal, first: int) -> Trial:
        """The trial of a number, as it is known or evaluated now.

        Args:
            number: of the trial.
            proposal: what the sampler has proposed for it.
            first: number of its round's first trial.

        Raises:
            MisconfigurationException: the known trial is another one than the search would make.
        """
        found, job = self.known.get(number), self.job(number, proposal, first)
        if found is None:
            found = self.known[number] = self._evaluate(job)
            self.file.append([found])
        elif found.proposal != proposal or found.seed != job.seed:
            raise MisconfigurationException(
                f"{self.file.path} holds another trial {number} than this search would make: it is of a search with "
                "other settings or another seed. Give another folder or filename, or move the file away."
            )
        elif differs := contradiction(self.costing, found):
            raise MisconfigurationException(
                f"{self.file.path} holds a trial {number}, {differs}: it is of a search with another budget. Give that "
                "budget, or another folder or filename, or move the file away."
            )
        return found

    def _evaluate(self, job: Job) -> Trial:
        begin, known = time.perf_counter(), (job.trial, job.proposal, job.seed)
        try:
            genotype = job.space.check(job.proposal.genotype)
            costs = self.costing.figures(genotype)
            if refusal := self.costing.refusal(genotype):
                return Trial(*known, "refused", None, 0.0, costs, reason=refusal)
            found = self.evaluator.evaluate(job)
            found = Evaluation({**found.metrics, **costs}, found.curves, found.seconds)
            reward = self.reward(found)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a child is the child's failure
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # of a child that ran out of memory
            reason = f"{type(error).__name__}: {error}"
            return Trial(*known, "failed", None, time.perf_counter() - begin, reason=reason)
        seconds = time.perf_counter() - begin if found.seconds is None else found.seconds
        if not math.isfinite(reward):
            return Trial(*known, "failed", None, seconds, reason=f"The reward is {reward}, no finite number.")
        return Trial(*known, "complete", reward, seconds, dict(found.metrics), dict(found.curves))
