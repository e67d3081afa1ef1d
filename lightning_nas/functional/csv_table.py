"""A CSV file with one row for each key, such as the numbers of a benchmark's architectures."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TextIO


class CsvTable:
    """Numbers by key, from some columns of a CSV file; read when they are first asked for.

    Args:
        path: CSV file with a header, `.gz` if it is compressed.
        key: column of the keys.
        columns: that are used.
        owner: what to name in errors, such as "TableEvaluator".

    Raises:
        ValueError: there is no such file, or it lacks a column.
    """

    def __init__(self, path: Path, key: str, columns: Sequence[str], owner: str) -> None:
        self.path, self.key, self.columns, self.owner = path, key, tuple(columns), owner
        if not path.is_file():
            raise ValueError(f"{owner}(path={str(path)!r}): no such file.")
        with self._open() as file:
            header = next(csv.reader(file), [])
        for column in (key, *self.columns):
            if column not in header:
                raise ValueError(
                    f"{owner}(path={str(path)!r}): no column {column!r}. There are {', '.join(header[:40])}."
                )

    @contextmanager
    def _open(self) -> Iterator[TextIO]:
        if self.path.suffix == ".gz":
            with gzip.open(self.path, "rt", newline="") as file:
                yield file
        else:
            with self.path.open(newline="") as file:
                yield file

    @cached_property
    def rows(self) -> dict[str, dict[str, float]]:
        """The numbers of all keys, by column."""
        with self._open() as file:
            return {row[self.key]: {c: float(row[c]) for c in self.columns} for row in csv.DictReader(file)}

    def row(self, key: str) -> dict[str, float]:
        """The numbers of one key.

        Raises:
            ValueError: there is no such row.
        """
        row = self.rows.get(key)
        if row is None:
            raise ValueError(f"{self.path.name} has no row with {self.key}={key}.")
        return row
