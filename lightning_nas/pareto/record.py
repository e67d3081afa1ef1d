"""A front as trials come in, and the curve of its hypervolume."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from lightning_nas.trials.objectives import Objectives
from lightning_nas.trials.trial import Trial


class FrontRecord:
    """What is on the front, what else was compared with it, and how its hypervolume has grown.

    Args:
        objectives: what is compared.
        reference: of the hypervolume; None is the default of `Objectives.reference` for the first trial.
    """

    def __init__(self, objectives: Objectives, reference: Mapping[str, float] | None = None) -> None:
        self.objectives = objectives
        self.reference = None if reference is None else dict(reference)
        self.members: list[Trial] = []
        """By the first objective, the best first."""
        self.seen: list[list[float]] = []
        """The objectives of all that was compared, members included."""
        self.curve: list[tuple[int, float]] = []
        """(step, hypervolume), wherever it has changed."""
        self.changed = False
        """Whether the members have changed since this was last set back."""

    @property
    def hypervolume(self) -> float | None:
        """At present; None before the first trial."""
        return self.curve[-1][1] if self.curve else None

    def add(self, trial: Trial, step: int) -> None:
        """Compare one more trial; at a higher fidelity than the members' it begins a new front."""
        if self.objectives.point_of(trial) is None:
            return
        rank = trial.proposal.fidelity.rank
        current = max((member.proposal.fidelity.rank for member in self.members), default=rank)
        if rank < current:
            return
        if rank > current:
            self.seen = []
        self.seen.append(self.values(trial))
        self._become([trial], [*self.members, trial], step)

    def replace(self, trials: Iterable[Trial], step: int) -> None:
        """Compare these trials alone."""
        known = [trial for trial in trials if self.objectives.point_of(trial) is not None]
        self.seen = [self.values(trial) for trial in known]
        self._become(known, known, step)

    def values(self, trial: Trial) -> list[float]:
        """The objectives of a trial, in their order."""
        return [trial.metrics[name] for name in self.objectives.directions]

    def _become(self, new: list[Trial], trials: list[Trial], step: int) -> None:
        if self.reference is None and new:
            self.reference = self.objectives.reference(new[0].metrics)
        front = self.objectives.front(trials)
        if front == self.members or self.reference is None:
            return
        self.members, self.changed = front, True
        volume = self.objectives.hypervolume(front, self.reference)
        if volume != self.hypervolume:
            self.curve.append((step, volume))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for the checkpoint."""
        members, curve = [member.to_dict() for member in self.members], [list(point) for point in self.curve]
        return {"members": members, "seen": self.seen, "curve": curve, "reference": self.reference}

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Take back what `to_dict` gave."""
        self.members = [Trial.from_dict(member) for member in plain["members"]]
        self.seen = [list(values) for values in plain["seen"]]
        self.curve = [(int(step), float(volume)) for step, volume in plain["curve"]]
        self.reference = plain["reference"]
