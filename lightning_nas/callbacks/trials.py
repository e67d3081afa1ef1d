"""`TrialMonitor`: the children of a search in TensorBoard."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter
from typing_extensions import override

from lightning_nas.callbacks.run import as_multi_trial, figure_writers
from lightning_nas.costs.budget import number
from lightning_nas.search import MultiTrialSearch
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.spaces.text import genotype_text
from lightning_nas.trials.trial import Fidelity, Trial, best_trials


class TrialMonitor(Callback):
    """Shows children as soon as they are known: the curves of each, and a table of the best.

    Each child becomes a run of its own, `children/<number>` in the logger's folder, so that TensorBoard lays the curves
    of all children over each other, one chart a metric, with the epoch on the axis. A child that has its folder is not
    written again, so a search that goes on adds the new ones only. The table is the text `search/trials`; it has a
    column for each cost of the search's budget. Without a TensorBoard logger nothing is written.

    Args:
        curves: write those of each child. A run is a small file; TensorBoard becomes slow with many thousands.
        best: rows of the table; 0: no table.

    Raises:
        ValueError: a number of rows below 0.

    Example:
        >>> TrialMonitor(curves=False, best=5).best
        5
    """

    def __init__(self, curves: bool = True, best: int = 10) -> None:
        super().__init__()
        if best < 0:
            raise ValueError(f"TrialMonitor(best={best}): give the number of rows, or 0 for no table.")
        self.curves, self.best = curves, best
        self._seen = 0
        self._table: list[Trial] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a module that trains no children.

        Raises:
            MisconfigurationException: the module is no `MultiTrialSearch`.
        """
        if stage == "fit":
            as_multi_trial(pl_module, self)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seen, self._table = 0, []

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_global_zero:
            self._show(trainer, as_multi_trial(pl_module, self))

    def _show(self, trainer: Trainer, search: MultiTrialSearch) -> None:
        new = list(search.runner.known.values())[self._seen :]
        self._seen += len(new)
        if self.curves:
            for logger in trainer.loggers:
                if isinstance(logger, TensorBoardLogger):
                    write_curves(new, Path(logger.log_dir) / "children")
        best = best_trials([*self._table, *new], self.best)
        if best != self._table:
            self._table = best
            for writer in figure_writers(trainer):
                writer.add_text(
                    "search/trials", trial_table(search.space, best, tuple(search.costing.costs)), trainer.global_step
                )


def write_curves(trials: Iterable[Trial], folder: Path) -> None:
    """Write those that are not there, each into a folder of its number, which appears when it is complete."""
    for trial in trials:
        path = folder / f"{trial.id:05d}"
        if not trial.curves or path.exists():
            continue
        unfinished = path.with_name(f".{path.name}")
        shutil.rmtree(unfinished, ignore_errors=True)  # what a kill has left
        with SummaryWriter(str(unfinished)) as writer:
            for name, values in trial.curves.items():
                for epoch, value in enumerate(values, start=_first_epoch(trial, len(values))):
                    writer.add_scalar(name, value, epoch)
        unfinished.rename(path)


def _first_epoch(trial: Trial, epochs: int) -> int:
    """Where a curve begins: behind its parent's, unless that one's weights were gone and all was trained anew."""
    return trial.proposal.start_epoch if epochs <= trial.proposal.epochs else 0


def trial_table(space: SearchSpace, trials: Iterable[Trial], costs: Sequence[str] = ()) -> str:
    """A table in Markdown, as TensorBoard shows it, with a column for each of the costs."""
    header = ["trial", "reward", "fidelity", "seconds", *costs, "genotype"]
    lines = [_row(header), "|" + "---|" * len(header)]
    for trial in trials:
        text = " ".join(genotype_text(space, trial.genotype).split())
        fidelity = _fidelity_text(trial.proposal.fidelity)
        known = [number(trial.metrics[name]) if name in trial.metrics else "" for name in costs]
        cells = [str(trial.id), f"{trial.reward:.4f}", fidelity, f"{trial.seconds:.1f}", *known, f"`{text}`"]
        lines.append(_row(cells))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _fidelity_text(fidelity: Fidelity) -> str:
    """What differs from full size.

    Example:
        >>> _fidelity_text(Fidelity(epochs=5, share=0.5))
        'epochs 5, share 0.5'
    """
    full = Fidelity()
    parts = [f"epochs {fidelity.epochs}"]
    for name in ("cells", "channels", "share", "resolution"):
        if getattr(fidelity, name) != getattr(full, name):
            parts.append(f"{name} {getattr(fidelity, name)}")
    return ", ".join(parts)
