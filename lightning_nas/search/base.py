"""The base of every search."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy, SingleDeviceStrategy
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs import Budget, Costing
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.module import GuardedModule
from lightning_nas.training.task import Task


class SearchModule(GuardedModule, ABC):
    """A search as a LightningModule: `Trainer.fit` runs it, `derive` gives what it has found.

    Args:
        space: where to search.
        skeleton: sizes of the networks that are trained while searching.
        task: loss and metric.
        epochs: horizon of the schedules; None takes `Trainer.max_epochs`.
        budget: costs that are reported, and limits that the result keeps; None: none.
    """

    def __init__(
        self,
        space: SearchSpace,
        skeleton: Skeleton,
        task: Task,
        epochs: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        super().__init__(skeleton, task, epochs)
        self.space, self.budget = space, budget
        self.automatic_optimization = False

    @abstractmethod
    def derive(self) -> Genotype:
        """The best architecture at present, within the budget; cheap, and without effect on the search."""

    @cached_property
    def costing(self) -> Costing:
        """What genotypes cost, and whether they keep the limits of the budget."""
        return Costing(self.budget, self.space, self.skeleton)

    def configure_callbacks(self) -> Sequence[Callback] | Callback:
        """No callbacks; the first hook of a run, where settings that would be ignored or break are refused.

        Raises:
            MisconfigurationException: names the trainer's argument, its value and the remedy.
        """
        trainer = self.trainer
        if trainer.gradient_clip_val:
            raise MisconfigurationException(
                f"Trainer(gradient_clip_val={trainer.gradient_clip_val}) does not reach the two optimizers of a "
                f"search: leave it out and set {type(self).__name__}(clip={trainer.gradient_clip_val})."
            )
        if trainer.accumulate_grad_batches != 1:
            raise MisconfigurationException(
                f"Trainer(accumulate_grad_batches={trainer.accumulate_grad_batches}) is not supported by a search, "
                "which alternates between two batches: leave it out and set the data module's batch_size."
            )
        if trainer.precision == "16-mixed":
            raise MisconfigurationException(
                "Trainer(precision='16-mixed') would need a loss scaler around the architecture gradient: "
                "use 'bf16-mixed' or '32-true'."
            )
        if getattr(trainer.strategy, "_layer_sync", None) is not None:  # Lightning has no public name for it
            raise MisconfigurationException(
                "Trainer(sync_batchnorm=True) replaces norms whose statistics a search has to choose, those of the "
                f"batch or the running ones: leave it out. {self._norm_remedy()}"
            )
        if not isinstance(trainer.strategy, (SingleDeviceStrategy, DDPStrategy)):
            raise MisconfigurationException(
                f"Trainer(strategy={type(trainer.strategy).__name__}) shards or moves the weights in ways that a "
                "search does not support: use one device, or strategy='ddp'."
            )
        return []

    def _norm_remedy(self) -> str:
        """What to do in place of `Trainer(sync_batchnorm=True)`."""
        return "A child trains on one device, whose batch its norms have."
