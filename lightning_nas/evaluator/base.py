"""The interface of evaluators."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import torch

from lightning_nas.config import Configurable
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace
from lightning_nas.task import Task
from lightning_nas.trial import Evaluation, Proposal


@dataclass(frozen=True)
class Job:
    """One child to evaluate.

    Args:
        trial: its number.
        proposal: genotype and fidelity.
        space: of the genotype.
        skeleton: sizes of the network at full fidelity.
        task: loss and metric.
        seed: of the child.
        device: where to evaluate it.
        folder: of the search's files.
        first: number of the first trial of the round; the results of trials before it are known on every rank.
    """

    trial: int
    proposal: Proposal
    space: SearchSpace
    skeleton: Skeleton
    task: Task
    seed: int
    device: torch.device
    folder: Path
    first: int


class Evaluator(Configurable, ABC):
    """Says what a child is worth."""

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:
        """Refuse, before the search starts, a space or a skeleton that no child could be made of."""

    def start_round(self, first: int, count: int, folder: Path) -> None:
        """Called before the children of a round are evaluated, in one process; the others wait.

        Args:
            first: number of the round's first trial.
            count: how many there are.
            folder: of the search's files.
        """

    @abstractmethod
    def evaluate(self, job: Job) -> Evaluation:
        """What the child is worth; an exception makes it a failed trial."""
