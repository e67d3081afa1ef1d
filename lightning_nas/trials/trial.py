"""Records of children: what is proposed, at what fidelity, and what came of it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.config import Configurable, to_plain

Status = Literal["complete", "failed", "refused"]
"""`refused`: it breaks a hard limit, so nobody has evaluated it."""


@dataclass(frozen=True)
class Fidelity(Configurable):
    """What a child is trained at; None is the full value, that of the skeleton or of the data.

    Args:
        epochs: length of the training, that of the trial it continues included.
        cells: cells of the skeleton, or cells of each stage.
        channels: of the skeleton.
        share: share of the training batches that an epoch runs.
        resolution: height and width of the images, in pixels.

    Raises:
        ValueError: a value out of range.

    Example:
        >>> Fidelity(epochs=20, share=0.5)
        Fidelity(epochs=20, cells=None, channels=None, share=0.5, resolution=None)
    """

    epochs: int = 20
    cells: int | None = None
    channels: int | None = None
    share: float = 1.0
    resolution: int | None = None

    def __post_init__(self) -> None:
        for name in ("epochs", "cells", "channels", "resolution"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"Fidelity({name}={value}): give an integer of at least 1.")
        if not 0.0 < self.share <= 1.0:
            raise ValueError(f"Fidelity(share={self.share}): give a number above 0 and at most 1.")

    @property
    def rank(self) -> tuple[float, ...]:
        """Orders fidelities: by the batches trained, then by the sizes, where None is the largest."""
        sizes = (self.resolution, self.channels, self.cells)
        return (self.epochs * self.share, *(math.inf if size is None else float(size) for size in sizes))


@dataclass(frozen=True)
class Proposal:
    """A child to evaluate.

    Args:
        genotype: its architecture.
        fidelity: what it is trained at.
        parent: number of the trial whose weights it starts from, if any.
        start_epoch: epochs that the parent has trained already, which count to the fidelity's; 0 trains all of them.
        fixed: decisions that were given to the sampler, so that it has nothing to learn from them.
    """

    genotype: Genotype
    fidelity: Fidelity = Fidelity()
    parent: int | None = None
    start_epoch: int = 0
    fixed: tuple[str, ...] = ()

    @property
    def epochs(self) -> int:
        """How many epochs this child trains."""
        return self.fidelity.epochs - self.start_epoch


@dataclass(frozen=True)
class Evaluation:
    """What an evaluator found out about a child.

    Args:
        metrics: final values by name, such as `val/accuracy`, a share in [0, 1].
        curves: values of each epoch by name, where the evaluator knows them.
        seconds: cost, if it is not the time that the evaluation took: a table has simulated seconds.
    """

    metrics: Mapping[str, float]
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    seconds: float | None = None

    def curve(self, name: str) -> tuple[float, ...]:
        """Values of each epoch; where none are known, the final one.

        Raises:
            KeyError: no such metric.
        """
        return self.curves[name] if self.curves.get(name) else (self.metrics[name],)


@dataclass(frozen=True)
class Trial:
    """The record of one child.

    Args:
        id: number in the search, from 0.
        proposal: what was evaluated.
        seed: seed of the child.
        status: `complete`; `failed` or, over a limit, `refused`, both with a reason and without a reward.
        reward: what the sampler learns from; higher is better.
        seconds: cost of the child; 0 if it was refused.
        metrics: final values by name, what the network costs among them.
        curves: values of each epoch by name.
        reason: why it failed or was refused.

    Example:
        >>> trial = Trial(0, Proposal(Genotype("S", (("a", "x"),))), seed=1, status="complete", reward=0.5, seconds=2.0)
        >>> Trial.from_dict(trial.to_dict()) == trial
        True
    """

    id: int
    proposal: Proposal
    seed: int
    status: Status
    reward: float | None
    seconds: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    reason: str = ""

    @property
    def genotype(self) -> Genotype:
        """The architecture."""
        return self.proposal.genotype

    def to_dict(self) -> dict[str, Any]:
        """Plain data, one line of a trials file."""
        plain = {name: to_plain(getattr(self, name), f"Trial.{name}") for name in self.__dataclass_fields__}
        proposal = self.proposal
        plain["proposal"] = {
            "genotype": proposal.genotype.to_dict(),
            "fidelity": {name: getattr(proposal.fidelity, name) for name in proposal.fidelity.__dataclass_fields__},
            "parent": proposal.parent,
            "start_epoch": proposal.start_epoch,
            "fixed": list(proposal.fixed),
        }
        return plain

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Trial:
        """The record in plain data.

        Raises:
            ValueError: the data has another form.
        """
        try:
            plain = dict(data["proposal"])
            proposal = Proposal(
                Genotype.from_dict(plain.pop("genotype")),
                Fidelity(**plain.pop("fidelity")),
                fixed=tuple(plain.pop("fixed")),
                **plain,
            )
            curves = {name: tuple(values) for name, values in data["curves"].items()}
            return cls(**{**data, "proposal": proposal, "curves": curves})
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"This is no record of a trial ({error!r}): {str(data)[:200]}") from error


def best_trials(trials: Iterable[Trial], count: int) -> list[Trial]:
    """The best trials that have a reward, the best first: by fidelity, then by reward; the earlier one of equals.

    Rewards at different fidelities do not compare: a child that was trained for longer is better for that reason.
    """
    complete = [trial for trial in trials if trial.reward is not None]
    return heapq.nlargest(count, complete, key=lambda t: (t.proposal.fidelity.rank, t.reward, -t.id))


def best_trial(trials: Iterable[Trial]) -> Trial | None:
    """The first of `best_trials`; None if no trial has a reward."""
    return next(iter(best_trials(trials, 1)), None)
