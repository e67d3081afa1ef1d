"""Latencies in files: tables of candidates, and columns of a benchmark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs.base import Cost
from lightning_nas.costs.measured import Latency
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.files import CsvTable, expanded, write_atomically
from lightning_nas.spaces.base import SearchSpace

Conditions = Mapping[str, Any]
"""What numbers of one table have in common: device, PyTorch's version, batch size, threads."""


class LatencyTable:
    """Latencies by the description of what was measured, in a JSON file.

    Args:
        path: of the file; it need not exist yet.
        owner: what to name in errors.

    Raises:
        ValueError: the file holds something else.
    """

    def __init__(self, path: Path, owner: str) -> None:
        self.path, self.owner = path, owner
        self.conditions: dict[str, Any] = {}
        self.entries: dict[str, Latency] = {}
        if path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            self.conditions = dict(content["conditions"])
            self.entries = {key: Latency(**entry) for key, entry in content["entries"].items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self.owner}(path={str(self.path)!r}): the file is no latency table ({error}). Give another path, or "
                "remove it to measure anew."
            ) from error

    def require(self, conditions: Conditions) -> None:
        """Refuse numbers that were measured under other conditions; a new table takes them.

        Raises:
            ValueError: names what differs.
        """
        known = self.conditions or dict(conditions)
        different = [f"{name} {known.get(name)!r}, not {value!r}" for name, value in conditions.items()
                     if known.get(name) != value]  # fmt: skip
        if different:
            raise ValueError(
                f"{self.owner}(path={str(self.path)!r}): the table was measured with {'; '.join(different)}. Latencies "
                "of different conditions do not add up: give the path of another table, which is then measured anew."
            )
        self.conditions = known

    def add(self, entries: Mapping[str, Latency]) -> None:
        """Write the table with more entries; those that another process has added meanwhile stay."""
        others = LatencyTable(self.path, self.owner)
        self.entries = {**others.entries, **self.entries, **entries}
        content = {
            "conditions": self.conditions,
            "entries": {key: asdict(latency) for key, latency in sorted(self.entries.items())},
        }
        write_atomically(self.path, json.dumps(content, indent=1) + "\n")


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
        self.path, self.column, self.scale, self.name = expanded(path), column, scale, name
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
