"""Evaluators: from a proposal to what it is worth; a table, and the parts of a child's fit."""

from __future__ import annotations

import copy
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_nas.config import Configurable, find_class
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.files import CsvTable, expanded
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.task import Task
from lightning_nas.trials.trial import Evaluation, Proposal


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


class MetricHistory(Callback):
    """Keeps what was logged, epoch by epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.curves: dict[str, list[float]] = {}
        self.metrics: dict[str, float] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.metrics.update({name: float(value) for name, value in trainer.callback_metrics.items()})
        for name in self.metrics:
            self.curves.setdefault(name, []).append(self.metrics[name])

    def evaluation(self) -> Evaluation:
        """The final metrics and the curves."""
        return Evaluation(self.metrics, {name: tuple(values) for name, values in self.curves.items()})


def callback_from(source: Mapping[str, Any] | Configurable) -> Callback:
    """A fresh callback, from its plain `class_path` and `init_args` or as a copy.

    Raises:
        ValueError: no callback, or one that cannot be made again from plain data.
    """
    if isinstance(source, Mapping):
        return find_class(source["class_path"], Callback)(**(source.get("init_args") or {}))
    if not isinstance(source, Callback) or not isinstance(source, Configurable):
        raise ValueError(
            f"callbacks: {source!r} cannot be made anew for each child. Give plain data, such as "
            '{"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss"}}.'
        )
    return copy.deepcopy(source)


@contextmanager
def quiet() -> Iterator[None]:
    """Within it Lightning says nothing about devices, workers and the end of a fit, which it would for every child."""
    talker = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    level = talker.level
    try:
        talker.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PossibleUserWarning)
            yield
    finally:
        talker.setLevel(level)


class TableEvaluator(Evaluator):
    """Looks children up in a CSV file, one row for each architecture; a search takes seconds, its cost is simulated.

    Source: the simulated searches of Dong & Yang, "NAS-Bench-201", ICLR 2020.

    Args:
        path: CSV file with a header, `.gz` if it is compressed.
        metrics: column of each metric, by the epochs that the children were trained.
        seconds_per_epoch: column of the cost of an epoch; None: children cost nothing.
        key: column of the architecture, in the space's text format.
        scale: what metrics are multiplied by, 0.01 if the table has percent; or such a factor for some metrics by name.
        cost_factor: what the cost is multiplied by, where the table has that of half the data.

    Raises:
        ValueError: the file cannot be read, or lacks a column.
    """

    def __init__(
        self,
        path: str | Path,
        metrics: Mapping[int, Mapping[str, str]],
        seconds_per_epoch: str | None = None,
        key: str = "arch",
        scale: float | Mapping[str, float] = 1.0,
        cost_factor: float = 1.0,
    ) -> None:
        self.path, self.key, self.scale, self.cost_factor = expanded(path), key, scale, cost_factor
        self.metrics = {int(epochs): dict(columns) for epochs, columns in metrics.items()}
        self.seconds_per_epoch = seconds_per_epoch
        cost = [seconds_per_epoch] if seconds_per_epoch else []
        used = [*cost, *(column for columns in self.metrics.values() for column in columns.values())]
        self.table = CsvTable(self.path, key, used, "TableEvaluator")
        named = {name for columns in self.metrics.values() for name in columns}
        for name in scale if isinstance(scale, Mapping) else ():
            if name not in named:
                raise ValueError(
                    f"TableEvaluator(scale={{{name!r}: ...}}): no such metric. There are {', '.join(sorted(named))}."
                )

    def evaluate(self, job: Job) -> Evaluation:
        """The row of the architecture, at the epochs of the fidelity.

        Raises:
            ValueError: no such row, or nothing known at this fidelity.
        """
        fidelity = job.proposal.fidelity
        if fidelity.epochs not in self.metrics or fidelity.rank != (float(fidelity.epochs), *([float("inf")] * 3)):
            raise ValueError(
                f"{self.path.name} knows children of {', '.join(map(str, self.metrics))} epochs at full size, not of "
                f"{fidelity}: give the sampler one of these."
            )
        row = self.table.row(job.space.format(job.proposal.genotype))
        metrics = {name: row[column] * self._factor(name) for name, column in self.metrics[fidelity.epochs].items()}
        cost = row[self.seconds_per_epoch] * job.proposal.epochs if self.seconds_per_epoch else 0.0
        return Evaluation(metrics, seconds=cost * self.cost_factor)

    def _factor(self, metric: str) -> float:
        return self.scale.get(metric, 1.0) if isinstance(self.scale, Mapping) else self.scale
