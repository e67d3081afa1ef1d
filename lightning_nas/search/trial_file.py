"""`trials.jsonl`: every finished trial of a search, one line each, written at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.functional.lines import complete_lines, locked
from lightning_nas.trial import Trial


class TrialFile:
    """Appends trials, each once, whichever processes write and whenever they are killed.

    Args:
        path: the file; made with the first trial.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: set[int] = set()
        self._read = 0

    def read(self) -> dict[int, Trial]:
        """All trials by number; a last line that a kill has cut is left out.

        Raises:
            MisconfigurationException: a line is no trial.
        """
        found = {}
        for number, line in enumerate(complete_lines(self.path), start=1):
            try:
                trial = Trial.from_dict(json.loads(line))
            except (ValueError, TypeError) as error:
                raise MisconfigurationException(
                    f"{self.path}, line {number}, is no trial ({error}): repair the file, or give another folder."
                ) from error
            found[trial.id] = trial
        return found

    def append(self, trials: Iterable[Trial]) -> None:
        """Write the trials that the file does not hold.

        Raises:
            MisconfigurationException: a line that was written meanwhile is no trial.
        """
        with locked(self.path) as file:
            end = file.tell()
            file.seek(self._read)
            # What other processes have written since; only numbers are looked at.
            self._known |= {self._number(line) for line in file.read(end - self._read).splitlines()}
            missing = [trial for trial in trials if trial.id not in self._known]
            file.seek(end)
            file.write("".join(json.dumps(trial.to_dict()) + "\n" for trial in missing).encode())
            self._known |= {trial.id for trial in missing}
            self._read = file.tell()

    def _number(self, line: bytes) -> int:
        try:
            return int(json.loads(line)["id"])
        except (ValueError, TypeError, KeyError) as error:
            raise MisconfigurationException(
                f"{self.path} holds a line that is no trial, {line[:80]!r} ({error}): repair the file, or give another "
                "folder."
            ) from error
