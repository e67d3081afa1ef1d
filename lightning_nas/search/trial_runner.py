"""Trials of a search: those that are finished, and how the next one is evaluated."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.evaluator import Job
from lightning_nas.functional.seeding import derive_seed
from lightning_nas.search.trial_file import TrialFile
from lightning_nas.trial import Proposal, Trial

if TYPE_CHECKING:
    from lightning_nas.search.multi_trial import MultiTrialSearch


class TrialRunner:
    """Evaluates the trials of a search, each once, and writes it down at once.

    Args:
        search: whose space, evaluator and reward they have.
        path: of the trials file.
    """

    def __init__(self, search: MultiTrialSearch, path: Path) -> None:
        self.search, self.file = search, TrialFile(path)
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
        found = self.known.get(number)
        seed = derive_seed(self.search.seed, "child", number)
        if found is None:
            found = self.known[number] = self._evaluate(number, proposal, seed, first)
            self.file.append([found])
        elif found.proposal != proposal or found.seed != seed:
            raise MisconfigurationException(
                f"{self.file.path} holds another trial {number} than this search would make: it is of a search with "
                "other settings or another seed. Give another folder or filename, or move the file away."
            )
        return found

    def _evaluate(self, number: int, proposal: Proposal, seed: int, first: int) -> Trial:
        search, folder = self.search, self.file.path.parent
        job = Job(number, proposal, search.space, search.skeleton, search.task, seed, search.device, folder, first)
        begin = time.perf_counter()
        try:
            search.space.check(proposal.genotype)
            found = search.evaluator.evaluate(job)
            reward = search.reward(found)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong in a child is the child's failure
            if torch.cuda.is_available():
                torch.cuda.empty_cache()  # of a child that ran out of memory
            reason = f"{type(error).__name__}: {error}"
            return Trial(number, proposal, seed, "failed", None, time.perf_counter() - begin, reason=reason)
        seconds = time.perf_counter() - begin if found.seconds is None else found.seconds
        if not math.isfinite(reward):
            reason = f"The reward is {reward}, no finite number."
            return Trial(number, proposal, seed, "failed", None, seconds, reason=reason)
        return Trial(number, proposal, seed, "complete", reward, seconds, dict(found.metrics), dict(found.curves))
