"""The files of a front, and what its networks cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lightning.pytorch import Trainer

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.callbacks.run import RunFile
from lightning_nas.costs import Cost, Costing
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.pareto.front import Front
from lightning_nas.search import SearchModule
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.trials.trial import Trial


class FrontCosts:
    """The costs of a search's budget and some besides, all for one skeleton.

    Args:
        search: whose networks are looked at.
        costs: what is computed besides; of two of one name the search's is taken.
        skeleton: of the final network; None: what the search counts with.

    Raises:
        ValueError: a cost does not know the space or the skeleton, or the search counts with another skeleton.
    """

    def __init__(self, search: SearchModule, costs: Sequence[Cost], skeleton: Skeleton | None) -> None:
        counted = search.costing
        if skeleton is not None and counted.costs and skeleton != counted.skeleton:
            raise ValueError(
                f"ParetoFront(skeleton={skeleton}): the search's budget counts with {counted.skeleton}. Give the "
                "skeleton to the budget, Budget(skeleton=...), and leave it out here."
            )
        every = [*costs, *counted.costs.values()]
        self.costing = Costing(None, search.space, skeleton or counted.skeleton, also=every)
        for cost in costs:
            cost.check(search.space, self.costing.skeleton)

    @property
    def names(self) -> list[str]:
        """Of all costs."""
        return list(self.costing.costs)

    def priced(self, trainer: Trainer, trials: Sequence[Trial]) -> list[Trial]:
        """The trials with all costs among their metrics; what is measured is rank zero's on every rank."""
        lacking = {t.genotype for t in trials if t.status == "complete" and not set(self.names) <= set(t.metrics)}
        if not lacking:
            return list(trials)
        figures = {g: self.costing.figures(g) for g in lacking} if trainer.is_global_zero else {}
        figures = trainer.strategy.broadcast(figures)
        return [replace(t, metrics={**figures.get(t.genotype, {}), **t.metrics}) for t in trials]


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
