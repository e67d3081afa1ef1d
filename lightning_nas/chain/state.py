"""How far a chain is: a small file that is replaced after each stage."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only

from lightning_nas.functional.files import write_atomically


class ChainState:
    """Results of the stages that are done.

    Args:
        folder: the chain's output folder; the file is `state.json` in it.
        settings: all settings of the chain; a file of other settings is refused.

    Raises:
        ValueError: the folder holds a chain with other settings, or the file cannot be read.
    """

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        self._path = folder / "state.json"
        self._fingerprint = hashlib.blake2b(json.dumps(settings, sort_keys=True).encode(), digest_size=8).hexdigest()
        self._stages: dict[str, dict[str, Any]] = {}
        if self._path.is_file():
            self._read()

    def _read(self) -> None:
        try:
            content = json.loads(self._path.read_text())
            fingerprint, self._stages = content["settings"], dict(content["stages"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self._path} cannot be read ({error}): delete the folder to start again.") from error
        if fingerprint != self._fingerprint:
            raise ValueError(
                f"output={str(self._path.parent)!r} holds a run with other settings. "
                "Give another output, or delete the folder to start again."
            )

    def result(self, stage: str) -> dict[str, Any] | None:
        """What a stage has given; None if it is not done."""
        return self._stages.get(stage)

    def finish(self, stage: str, result: dict[str, Any]) -> dict[str, Any]:
        """Keep the result of a stage, and the file on rank zero."""
        self._stages[stage] = result
        self._write()
        return result

    @rank_zero_only
    def _write(self) -> None:
        content = {"settings": self._fingerprint, "stages": self._stages}
        write_atomically(self._path, json.dumps(content, indent=2))
