"""Latency that others have measured: a benchmark's table."""

from __future__ import annotations

from pathlib import Path

from lightning_nas.cost.base import Cost
from lightning_nas.functional.csv_table import CsvTable
from lightning_nas.genotype import Genotype
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace


class CsvLatency(Cost):
    """Looks the latency up in a CSV file with one row for each architecture, such as HW-NAS-Bench's.

    Source: Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark", ICLR 2021. The file's
    networks have a skeleton of their own, and the one that is asked for makes no difference.

    Args:
        path: CSV file with a header, `.gz` if it is compressed.
        column: of the latency.
        key: column of the architecture, in the space's text format.
        scale: what the column is multiplied by to have milliseconds: 1000 for seconds.
        name: of the metric, where several columns are costs, or the column is no latency.

    Raises:
        ValueError: the file cannot be read, or lacks a column.

    Example:
        >>> import tempfile
        >>> from lightning_nas.spaces import NasBench201Space
        >>> space, folder = NasBench201Space(nodes=2), tempfile.mkdtemp()
        >>> _ = Path(folder, "table.csv").write_text(chr(10).join(["arch,phone", "|none~0|,0.002"]))
        >>> cost = CsvLatency(Path(folder, "table.csv"), "phone", scale=1000)
        >>> cost(space, space.parse("|none~0|"), space.skeleton())
        2.0
    """

    def __init__(
        self, path: str | Path, column: str, key: str = "arch", scale: float = 1.0, name: str = "latency_ms"
    ) -> None:
        self.path, self.column, self.scale, self.name = Path(path), column, scale, name
        self.table = CsvTable(self.path, key, [column], "CsvLatency")

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:  # noqa: ARG002 - the file has its own
        """Refuse a space without a text format.

        Raises:
            ValueError: it has none.
        """
        if type(space).format is SearchSpace.format:
            raise ValueError(
                f"CsvLatency finds rows by the text of an architecture, and {type(space).__name__} has no text format: "
                "give another cost, or another space."
            )

    def __call__(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> float:  # noqa: ARG002
        return self.table.row(space.format(genotype))[self.column] * self.scale
