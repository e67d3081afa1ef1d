"""Files are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightning_nas.runtime.files import write_atomically


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_atomically(tmp_path / "file.txt", "old")

    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    for name in ("replace", "rename"):
        monkeypatch.setattr(Path, name, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_no_reader_sees_a_part_of_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the rename the new content stands under another name."""
    path = write_atomically(tmp_path / "file.txt", "old")
    seen = []
    replace = Path.replace

    def look(temporary: Path, target: Path) -> Path:
        seen.append((path.read_text(), temporary.read_text()))
        return replace(temporary, target)

    monkeypatch.setattr(Path, "replace", look)
    write_atomically(path, "new")
    assert seen == [("old", "new")]
    assert path.read_text() == "new"
