"""What callbacks ask of a run: its search, its log folder, and files in it that are never lost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.runtime.files import expanded, write_atomically
from lightning_nas.search import DifferentiableSearch, MultiTrialSearch, SearchModule, WeightSharingSearch


class RunFile:
    """A file that one run writes anew as it goes on.

    A file in its place that is not, byte for byte, what this run wrote last belongs to an earlier run or to the user:
    it is renamed to `<name>.1` (or the next free number) before a write.

    Args:
        filename: a relative path lies in the trainer's log folder, an absolute one is taken as it is.
    """

    def __init__(self, filename: str | Path) -> None:
        self.filename = expanded(filename)
        self.digest = ""
        """Hash of what this run wrote last, for the checkpoint; empty if it wrote nothing."""
        self._path: Path | None = None

    @property
    def path(self) -> Path:
        """Where the file lies; known after `locate`."""
        if self._path is None:
            raise RuntimeError(f"{self.filename} has no folder yet: call locate(trainer) first.")
        return self._path

    def locate(self, trainer: Trainer) -> None:
        """Find the folder; to be called in every process, since they agree on the log folder.

        Raises:
            MisconfigurationException: a folder has the file's name.
        """
        self._path = Path(trainer.log_dir or trainer.default_root_dir) / self.filename
        if self._path.is_dir():
            raise MisconfigurationException(
                f"filename={str(self.filename)!r}: {self._path} is a folder; give another name."
            )

    def begin(self, trainer: Trainer) -> None:
        """Own nothing yet if the run starts anew; a resumed one has loaded `digest` before."""
        if trainer.global_step == 0 and trainer.current_epoch == 0:
            self.digest = ""

    def adopt(self, content: str | bytes) -> None:
        """Take the file for this run's own, if it holds this."""
        data = content.encode() if isinstance(content, str) else content
        if self.path.is_file() and self.path.read_bytes() == data:
            self.digest = _digest(data)

    def write(self, content: str | bytes) -> None:
        """Write atomically, unless the file is as it should be; only on rank zero."""
        data = content.encode() if isinstance(content, str) else content
        existing = self.path.read_bytes() if self.path.is_file() else None
        if existing is not None and existing != data and _digest(existing) != self.digest:
            kept = _free_name(self.path)
            self.path.rename(kept)
            rank_zero_info(f"{self.path} was there before this run: kept as {kept.name}.")
        if existing != data:
            write_atomically(self.path, data)
        self.digest = _digest(data)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _free_name(path: Path) -> Path:
    number = 1
    while (candidate := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return candidate


def as_search(module: LightningModule, callback: Callback) -> SearchModule:
    """The module itself, if it is a search.

    Raises:
        MisconfigurationException: it is none.
    """
    if not isinstance(module, SearchModule):
        raise MisconfigurationException(
            f"{type(callback).__name__} needs a search, but the model is a {type(module).__name__}: "
            "remove the callback, or train a SearchModule such as DartsSearch."
        )
    return module


def as_multi_trial(module: LightningModule, callback: Callback) -> MultiTrialSearch:
    """The module itself, if it is a search that trains children.

    Raises:
        MisconfigurationException: it is none.
    """
    if not isinstance(module, MultiTrialSearch):
        raise MisconfigurationException(
            f"{type(callback).__name__} needs a search that trains children, but the model is a "
            f"{type(module).__name__}: remove the callback, or search with a MultiTrialSearch such as RandomSearch."
        )
    return module


def sound_genotype(search: SearchModule) -> Genotype | None:
    """The genotype at present; None if it would mean nothing.

    So it is with architecture parameters that are not finite, before the first child that did not fail, and before the
    first derivation from a supernet that is shared.
    """
    if isinstance(search, WeightSharingSearch) and not search.candidates:
        return None
    if isinstance(search, MultiTrialSearch) and search.best is None:
        return None
    if isinstance(search, DifferentiableSearch):
        probabilities = search.probabilities().values()
        if not all(bool(torch.isfinite(values).all()) for values in probabilities):
            return None
    return search.derive()


def data_of(search: SearchModule, given: LightningDataModule | None) -> LightningDataModule | None:
    """The data that the networks of a search are trained on; None if there is none that is known.

    Args:
        search: the search.
        given: what its own fit is given; that of a search that trains children has nothing, since the children have it.
    """
    if isinstance(search, MultiTrialSearch):
        return getattr(search.evaluator, "datamodule", None)
    return given


def figure_writers(trainer: Trainer) -> Iterator[Any]:
    """The experiments of those loggers that show figures, such as TensorBoard's; to be called on rank zero."""
    for logger in trainer.loggers:
        experiment = getattr(logger, "experiment", None)
        if hasattr(experiment, "add_figure"):
            yield experiment
