"""`WeightInheritance`: a fit that starts from what other networks have learned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from torch import Tensor, nn
from typing_extensions import override

from lightning_nas.config import Configurable
from lightning_nas.inheritance.recalibration import recalibrate, training_batches
from lightning_nas.inheritance.store import WeightStore
from lightning_nas.inheritance.transfer import InheritanceReport, Source, inherit, is_covered, network_of, read_source
from lightning_nas.runtime.parallel import average_buffers
from lightning_nas.runtime.seeding import preserve_random_state
from lightning_nas.training.module import GuardedModule


class WeightInheritance(Callback, Configurable):
    """Copies weights of other networks into the one that is about to be trained, as `inherit` does.

    The order of preference: the parent, the other stored trials, newest first, then the files. Only a fresh fit
    inherits, not one that goes on from a checkpoint. Where running statistics do not describe the network, as behind a
    supernet, they are computed anew on training batches, before the first step; neither order nor random numbers
    of the fit change by that. In a search a supernet inherits, whose statistics are a mixture anyway: they are left.

    Args:
        sources: checkpoints of a `NetworkTraining` or of a search of supernets, or files of a `WeightStore`.
        recalibrate: number of batches for the running statistics, where they need it; 0: never.
        store: states of earlier children, and where this one's is kept.
        trial: the child's number in the store.
        before: only trials below it are read; None: below `trial`.
        parent: the stored trial that is preferred to others.
        others: whether trials besides the parent are looked at.
        limit: how many of these are opened at most.
        save: keep the trained network in the store.

    Raises:
        ValueError: arguments that do not fit together, or out of range.

    Example:
        >>> callback = WeightInheritance(store=WeightStore("weights"), trial=12, parent=7)
        >>> callback.before, callback.config()["init_args"]["store"]["init_args"]["folder"]
        (12, 'weights')
    """

    def __init__(
        self,
        sources: Sequence[str | Path] = (),
        recalibrate: int = 20,
        store: WeightStore | None = None,
        trial: int | None = None,
        before: int | None = None,
        parent: int | None = None,
        others: bool = True,
        limit: int = 20,
        save: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(sources, (str, Path)):
            raise ValueError(f"WeightInheritance(sources={str(sources)!r}): give a list of files.")
        for name, number in (("recalibrate", recalibrate), ("limit", limit), ("trial", trial), ("before", before)):
            if number is not None and number < 0:
                raise ValueError(f"WeightInheritance({name}={number}): give a number of 0 or more.")
        self.sources, self.recalibrate, self.store, self.trial = tuple(sources), recalibrate, store, trial
        self.before = trial if before is None else before
        self.parent, self.others, self.limit, self.save = parent, others, limit, save
        self._check_store()
        self.report: InheritanceReport | None = None
        """What the last fit has inherited; None if it went on from a checkpoint."""
        self._resumed = False

    def _check_store(self) -> None:
        if self.store is None:
            for name, value in (("trial", self.trial), ("before", self.before), ("parent", self.parent)):
                if value is not None:
                    raise ValueError(
                        f"WeightInheritance({name}={value}) counts in a store: give store=WeightStore(...)."
                    )
            if not self.sources:
                raise ValueError(
                    "WeightInheritance() has nothing to inherit from: give sources, or a store and a trial."
                )
            return
        if self.trial is None or self.before is None:
            raise ValueError("WeightInheritance(store=..., trial=None): give the child's number in the store.")
        if self.before > self.trial:
            raise ValueError(f"WeightInheritance(before={self.before}) must be at most trial={self.trial}.")
        if self.parent is not None and not 0 <= self.parent < self.before:
            raise ValueError(f"WeightInheritance(parent={self.parent}) must be a trial below before={self.before}.")

    # --- the fit ----------------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._resumed = False

    @override
    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._resumed = True  # also where Lightning finds a checkpoint itself

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Inherit, unless the fit goes on from a checkpoint.

        Raises:
            MisconfigurationException: the module has no network, or `sources` hold nothing for it.
            ValueError: a file is missing or holds no network.
        """
        network, supernet = network_of(pl_module)
        self.report = None
        if self._resumed or trainer.global_step > 0:
            return
        files = [read_source(path) for path in self.sources]
        stored = dict(self._stored(network))
        sources = [Source(f"trial {trial}", state) for trial, state in stored.items()]
        report = self.report = inherit(network, [*sources, *(_for(supernet, file) for file in files)])
        self._touch(trial for trial in stored if f"trial {trial}" in report.copied)
        if files and not report.copied:
            raise MisconfigurationException(
                f"WeightInheritance(sources={[source.name for source in files]}): they hold nothing for this network. "
                "Give networks of the same space, with cells and layers under the same names."
            )
        rank_zero_info(f"{type(self).__name__}: {report}")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        network, supernet = network_of(pl_module)
        if self._resumed or self.report is None or not self.report.recalibrate or not self.recalibrate or supernet:
            return
        inputs = pl_module.inputs if isinstance(pl_module, GuardedModule) else _first
        with preserve_random_state(trainer), trainer.precision_plugin.train_step_context():
            count = recalibrate(network, training_batches(trainer, pl_module, self.recalibrate), inputs)
        average_buffers(network, trainer.strategy)
        rank_zero_info(f"{type(self).__name__}: computed the running statistics anew, on {count} batches")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.save and self.store is not None and self.trial is not None and trainer.is_global_zero:
            self.store.save(self.trial, network_of(pl_module)[0].state_dict())

    # --- sources ----------------------------------------------------------------------------------------------------

    @property
    def continues(self) -> bool:
        """Whether the parent's weights are still stored: it may have been evicted."""
        return self.store is not None and self.parent is not None and self.store.load(self.parent) is not None

    def _stored(self, network: nn.Module) -> Iterator[tuple[int, dict[str, Tensor]]]:
        """States of trials in their order; no further one is opened once nothing could come from it."""
        if self.store is None:
            return
        found: list[Source] = []
        for trial in self._trials(self.store):
            state = self.store.load(trial)
            if state is None:
                rank_zero_info(f"{type(self).__name__}: the weights of trial {trial} are no longer stored")
                continue
            yield trial, state
            found.append(Source(f"trial {trial}", state))
            if is_covered(network, found):
                return

    def _touch(self, used: Iterable[int]) -> None:
        if self.store is not None and self.trial is not None:
            for trial in used:
                self.store.touch(trial, self.trial)

    def _trials(self, store: WeightStore) -> Iterator[int]:
        if self.parent is not None:
            yield self.parent
        if self.others and self.before is not None:
            yield from [trial for trial in store.trials(self.before) if trial != self.parent][: self.limit]


def _for(supernet: bool, source: Source) -> Source:
    """A supernet takes the statistics of another one as its own."""
    return replace(source, mixture=source.mixture and not supernet)


def _first(batch: Any) -> Any:
    return batch[0]
