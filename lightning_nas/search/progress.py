"""How far a search of children is: the best one, what they cost, and failures in a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning_nas.objectives import Objectives
from lightning_nas.trial import Trial, best_trial


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
