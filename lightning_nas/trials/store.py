"""Trials in files: one line each as they end, and the candidates of a derivation as a table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.runtime.files import complete_lines, locked, write_atomically
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.trials.trial import Trial


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


_SHOWN = 20


def write_candidates(trainer: Trainer, space: SearchSpace, candidates: Sequence[Trial], epoch: int) -> None:
    """Write `candidates/epoch_<n>.csv` in the log folder, the best first, and the first of them to TensorBoard."""
    folder = Path(trainer.log_dir or trainer.default_root_dir) / "candidates"  # asks all ranks
    if not trainer.is_global_zero:
        return
    names = list(candidates[0].metrics)
    rows = [
        [rank, *(trial.metrics[name] for name in names), _text(space, trial)] for rank, trial in enumerate(candidates)
    ]
    header = ["rank", *names, "genotype"]
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows([header, *rows])
    write_atomically(folder / f"epoch_{epoch:04d}.csv", content.getvalue())
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            table = _table([header, ["---"] * len(header), *rows[:_SHOWN]])
            logger.experiment.add_text("search/candidates", table, trainer.global_step)


def _table(rows: Sequence[Sequence[object]]) -> str:
    return "".join("| " + " | ".join([str(cell) for cell in row]) + " |\n" for row in rows)


def _text(space: SearchSpace, trial: Trial) -> str:
    try:
        return space.format(trial.genotype)
    except NotImplementedError:
        return yaml.safe_dump(dict(trial.genotype.choices), default_flow_style=True, width=10**6).strip()
