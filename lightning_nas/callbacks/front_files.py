"""The three files of a front: JSON, CSV and picture, of one name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch import Trainer

from lightning_nas.callbacks.files import RunFile
from lightning_nas.callbacks.front_file import Front
from lightning_nas.genotype import Genotype
from lightning_nas.space import SearchSpace


class FrontFiles:
    """Written together; each keeps what was there before the run, as `RunFile` does.

    Args:
        filename: of the JSON file; the others have its name and their own suffix.

    Raises:
        ValueError: another suffix.
    """

    def __init__(self, filename: str) -> None:
        if Path(filename).suffix != ".json":
            raise ValueError(f"ParetoFront(filename={str(filename)!r}): give a name that ends in .json.")
        self._files = {suffix: RunFile(Path(filename).with_suffix(suffix)) for suffix in (".json", ".csv", ".png")}

    @property
    def path(self) -> Path:
        """Of the JSON file; known after `locate`."""
        return self._files[".json"].path

    def locate(self, trainer: Trainer) -> None:
        """Find the folder; in every process."""
        for file in self._files.values():
            file.locate(trainer)

    def begin(self, trainer: Trainer) -> None:
        """Own nothing yet if the run starts anew."""
        for file in self._files.values():
            file.begin(trainer)

    def adopt(self, trials: Mapping[int, Genotype]) -> None:
        """Take the files for this run's own, if all members are trials of this search, by their numbers."""
        try:
            members = Front.load(self.path).members
        except ValueError:
            return
        if members and all(trials.get(member.trial) == member.genotype for member in members):
            for file in self._files.values():
                if file.path.is_file():
                    file.adopt(file.path.read_bytes())

    def write(self, front: Front, space: SearchSpace, picture: bytes) -> None:
        """Write all, the picture unless it is empty; only on rank zero."""
        self._files[".json"].write(front.to_json())
        self._files[".csv"].write(front.to_csv(space))
        if picture:
            self._files[".png"].write(picture)

    def digests(self) -> dict[str, str]:
        """What this run has written last, for the checkpoint."""
        return {suffix: file.digest for suffix, file in self._files.items()}

    def restore(self, digests: Mapping[str, str]) -> None:
        """Take back what `digests` gave."""
        for suffix, digest in digests.items():
            self._files[suffix].digest = digest
