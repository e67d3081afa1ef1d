"""What all searches of a supernet have in common: the step of its weights, and validation."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer
from torchmetrics import MeanMetric
from typing_extensions import override

from lightning_nas.architecture.edges import Architecture
from lightning_nas.costs import Budget
from lightning_nas.execution.norm import batch_statistics
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import NetworkOutput, Skeleton
from lightning_nas.runtime.parallel import average_tensors
from lightning_nas.search.base import SearchModule
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.training.optimizer import Sgd, parameters_of
from lightning_nas.training.task import Classification, Task


class SupernetSearch(SearchModule):
    """Trains the weights of one supernet with architectures that a method gives.

    Under DDP gradients are averaged here, for the weights that took part; so a sampled path needs no flag, and weights
    are equal on all ranks.

    Args:
        space: where to search.
        skeleton: sizes of the supernet.
        task: loss and metric; None is `Classification()`.
        optimizer: SGD of the weights with its schedule.
        clip: largest norm of the weights' gradient; None turns clipping off.
        epochs: horizon of the schedules; None takes `Trainer.max_epochs`.
        budget: costs that are reported, and limits that the result keeps; None: none.
        execution: how the supernet is run: speed and memory, the same function.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        space: SupernetSpace,
        skeleton: Skeleton,
        task: Task | None,
        optimizer: Sgd,
        clip: float | None,
        epochs: int | None,
        budget: Budget | None = None,
        execution: Execution = Execution(),
    ) -> None:
        super().__init__(space, skeleton, task or Classification(), epochs, budget)
        if clip is not None and clip <= 0:
            raise ValueError(f"{type(self).__name__}(clip={clip}): give a positive number, or None for no clipping.")
        self.space: SupernetSpace = space
        self.optimizer, self.clip, self.execution = optimizer, clip, execution
        self.supernet = space.build(None, skeleton, execution)
        self.val_metric, self.discrete_metric = self.task.metric(skeleton), self.task.metric(skeleton)
        self.val_loss = MeanMetric()

    @abstractmethod
    def draw(self, purpose: str, batch_idx: int) -> Architecture:
        """The architecture to run for a purpose in a batch: the same on all ranks, and when it is asked for again."""

    @override
    def _norm_remedy(self) -> str:
        return self.skeleton.synchronized_norm(supernet=True)

    def weight_step(self, batch: Any, batch_idx: int, optimizer: LightningOptimizer) -> Tensor:
        """One step of the weights on a training batch; its loss."""
        weights = parameters_of(optimizer.optimizer)
        with torch.no_grad():
            architecture = self.draw("weights", batch_idx)
        loss = self.task.loss(self.supernet(self.inputs(batch), architecture), batch)
        found = torch.autograd.grad(loss, weights, allow_unused=True)
        took_part = [gradient for gradient in found if gradient is not None]
        averaged = iter(average_tensors(took_part, self.trainer.strategy))
        for weight, gradient in zip(weights, found, strict=True):
            weight.grad = None if gradient is None else next(averaged)
        optimizer.step()
        return loss.detach()

    @override
    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters_of(optimizer), self.clip)

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        self.lr_schedulers().step()  # type: ignore[union-attr]
        self._log_costs()

    def _log_costs(self) -> None:
        """What the genotype of now costs."""
        if self.costing.costs:
            for name, figure in self.costing.figures(self.derive()).items():
                self.log(f"search/{name}", figure, sync_dist=True)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        self._discrete = self.space.path(self.derive())

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Accuracy of the supernet, and of the architecture that would be extracted now.

        The latter normalises with each batch's statistics: the running ones describe the mixture of all candidates.
        """
        self.check_batch(batch, "validation")
        inputs = self.inputs(batch)
        output = self.validate_supernet(inputs, batch_idx)
        self.val_loss.update(self.task.loss(output, batch))
        self.task.update(self.val_metric, output, batch)
        with batch_statistics(self.supernet):
            self.task.update(self.discrete_metric, self.supernet(inputs, self._discrete), batch)
        name = f"val/{self.task.metric_name}"
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True)
        self.log(name, self.val_metric, on_step=False, on_epoch=True, prog_bar=True)
        self.log(f"{name}_discrete", self.discrete_metric, on_step=False, on_epoch=True, prog_bar=True)

    def validate_supernet(self, inputs: Tensor, batch_idx: int) -> NetworkOutput:
        """What the supernet gives for validation images, with its running statistics."""
        output: NetworkOutput = self.supernet(inputs, self.draw("validation", batch_idx))
        return output
