"""Running trials one by one: the loader of their numbers, progress, and what evaluates them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.costs import Costing
from lightning_nas.evaluators import Evaluator, Job
from lightning_nas.search.budget import contradiction
from lightning_nas.trials.objectives import Objectives
from lightning_nas.trials.reward import Reward
from lightning_nas.trials.store import TrialFile
from lightning_nas.trials.trial import Evaluation, Proposal, Trial, best_trial


class TrialSteps:
    """A loader of as many empty batches as every rank evaluates trials in an epoch, each of them its number.

    It is no `DataLoader`, so that Lightning does not share it out between ranks: every rank has all ticks. It goes on
    where a checkpoint was written.

    Args:
        count: of an epoch.

    Example:
        >>> list(TrialSteps(3))
        [0, 1, 2]
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._start = self._position = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        begin, self._start = self._start, 0
        for tick in range(begin, self.count):
            self._position = tick + 1
            yield tick

    def state_dict(self) -> dict[str, Any]:
        """How far it is."""
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on there."""
        self._start = self._position = state["position"] % self.count


class TooManyFailuresError(RuntimeError):
    """Children failed one after the other; the message says why."""


class Progress:
    """What follows from the trials that a search was told of, in order.

    Args:
        max_failures: so many failures in a row end the search.
        objectives: what a front is made of, if there are several.
    """

    def __init__(self, max_failures: int, objectives: Objectives | None = None) -> None:
        self.max_failures, self.objectives = max_failures, objectives
        self.best: Trial | None = None
        self.front: list[Trial] = []
        """Trials that no other beats in all objectives; without objectives the best one."""
        self.spent = 0.0
        self.failures: list[str] = []
        """Reasons of the failures since the last child that did not fail."""

    def note(self, trial: Trial, again: bool) -> None:
        """Take one more trial.

        Args:
            trial: the next one.
            again: an earlier run has evaluated it; its failure does not count towards the end of this one, or a search
                whose last children have failed could not go on.
        """
        self.best = best_trial([trial] if self.best is None else [self.best, trial])
        if self.objectives is not None:
            self.front = self.objectives.front([*self.front, trial])
        else:
            self.front = [] if self.best is None else [self.best]
        self.spent += trial.seconds
        if not again and trial.status != "refused":  # which says nothing of whether children can be trained
            self.failures = [*self.failures, trial.reason] if trial.status == "failed" else []

    def check_failures(self, file: object) -> None:
        """Stop if too many children in a row have failed.

        Raises:
            TooManyFailuresError: with the reasons, and the file that has all trials.
        """
        if len(self.failures) >= self.max_failures:
            reasons = "; ".join(dict.fromkeys(self.failures))
            raise TooManyFailuresError(
                f"The last {len(self.failures)} children have failed: {reasons}. {file} has them all. Remove "
                "the cause, or set max_failures higher, and start the search again: it goes on."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        best = None if self.best is None else self.best.to_dict()
        front = [trial.to_dict() for trial in self.front]
        return {"best": best, "front": front, "spent": self.spent, "failures": self.failures}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Take back what `to_dict` gave."""
        self.best = None if plain["best"] is None else Trial.from_dict(plain["best"])
        self.front = [Trial.from_dict(trial) for trial in plain["front"]]
        self.spent, self.failures = plain["spent"], list(plain["failures"])


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
