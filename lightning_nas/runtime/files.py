"""Files: atomic writes, lines that survive a kill, tables."""

from __future__ import annotations

import csv
import gzip
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, TextIO


def expanded(path: str | Path) -> Path:
    """A path that a user gives, with `~` for the home folder; every argument that is a path goes through here.

    Example:
        >>> expanded("runs/search").as_posix(), expanded("~/runs") == Path.home() / "runs"
        ('runs/search', True)
    """
    return Path(path).expanduser()


def write_atomically(path: str | Path, content: str | bytes) -> Path:
    """Write `content` beside `path` and rename it over; missing folders are made.

    Args:
        path: the file to write or replace.
        content: text (UTF-8) or bytes.
    """
    target = expanded(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)  # mkstemp makes it private to the user
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


try:
    import fcntl
except ImportError:  # Windows, where a search runs in one process
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path) -> Iterator[BinaryIO]:
    """The file, open for reading and writing, for this process alone; a line that a killed process cut is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    with os.fdopen(descriptor, "r+b") as file:
        if fcntl is not None:
            fcntl.lockf(file, fcntl.LOCK_EX)  # released when the file is closed
        _remove_cut_line(file)
        yield file


def complete_lines(path: Path) -> list[str]:
    """The lines of a file, without one that is not ended; none if there is no file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.split("\n")[:-1]  # `splitlines` splits at characters that a line may hold, too


def _remove_cut_line(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    position = size
    while position:
        begin = max(0, position - 4096)
        file.seek(begin)
        found = file.read(position - begin).rfind(b"\n")
        if found >= 0:
            position = begin + found + 1
            break
        position = begin
    if position < size:
        file.truncate(position)
    file.seek(position)


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
