"""A file of lines that several processes append to, and that a kill at any moment leaves readable."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

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
