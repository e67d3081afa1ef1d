"""The candidates of a derivation as a file and in TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_nas.functional.files import write_atomically
from lightning_nas.space import SearchSpace
from lightning_nas.trial import Trial

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
