"""Children whose results are known: a benchmark's table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightning_nas.evaluator.base import Evaluator, Job
from lightning_nas.functional.csv_table import CsvTable
from lightning_nas.trial import Evaluation


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
        self.path, self.key, self.scale, self.cost_factor = Path(path), key, scale, cost_factor
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
