"""The file of a latency table: what was measured, on which device."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning_nas.cost.stopwatch import Latency
from lightning_nas.functional.files import write_atomically

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
