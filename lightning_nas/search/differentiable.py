"""The family of differentiable searches: a relaxation, a supernet, and two alternating gradient steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Literal

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from lightning_nas.architecture.edges import Architecture
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.architecture.relaxation import Parameters, Relaxation
from lightning_nas.costs import Budget, Costing, ExpectedCost
from lightning_nas.costs.limits import most_probable
from lightning_nas.execution.settings import Execution
from lightning_nas.functional.gradients import SgdStep, frozen, gradients, unrolled_gradient
from lightning_nas.functional.relax import entropy
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.memory import defer_garbage_collection
from lightning_nas.runtime.parallel import average_tensors
from lightning_nas.runtime.seeding import generator
from lightning_nas.search.budget import CostLoss, check_budget
from lightning_nas.search.supernet import SupernetSearch
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.training.module import log_step
from lightning_nas.training.optimizer import Adam, Sgd, parameters_of
from lightning_nas.training.task import Task

Extraction = Callable[[Mapping[str, Tensor], SupernetSpace], Genotype]
"""From the probabilities of each group to a genotype, in place of the space's own rule."""


class DifferentiableSearch(SupernetSearch):
    """Bilevel search: each batch a step of the architecture on one half of the data, then one of the weights.

    Gradients are split: the architecture step computes those of the architecture parameters alone, the weight step
    those of the weights alone. Under DDP both are averaged, so alphas and weights are equal on all ranks.

    Args:
        space: where to search.
        skeleton: sizes of the supernet.
        relaxation: from architecture parameters to the architecture that is run.
        task: loss and metric; None is `Classification()`.
        order: 1 uses the current weights in the architecture step, 2 looks one weight step ahead.
        optimizer: SGD of the weights with its schedule.
        architecture_optimizer: Adam of the architecture parameters.
        clip: largest norm of the weights' gradient; None turns clipping off.
        epochs: horizon of the schedules; None takes `Trainer.max_epochs`.
        extraction: replaces the space's `discretize`; Python only.
        epsilon: size of the finite difference in the second order, as in `unrolled_gradient`. The authors' 0.01 steps
            over kinks of ReLU and max pooling: it measures a smoothed curvature, not the exact second derivative.
        warmup_epochs: epochs at the start in which the weights alone are trained (PC-DARTS: 15). The parameter-free
            candidates are the better ones while the others are untrained, and collect weight that they keep.
        budget: costs that are reported, and limits: the result is the most probable genotype that keeps them.
        expected_cost: pulls the architecture to a cost while it is searched.
        execution: how the supernet is run: speed and memory, the same function.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        space: SupernetSpace,
        skeleton: Skeleton,
        relaxation: Relaxation,
        task: Task | None = None,
        order: Literal[1, 2] = 1,
        optimizer: Sgd = Sgd(lr_min=0.001),
        architecture_optimizer: Adam = Adam(),
        clip: float | None = 5.0,
        epochs: int | None = None,
        extraction: Extraction | None = None,
        epsilon: float = 0.01,
        warmup_epochs: int = 0,
        budget: Budget | None = None,
        expected_cost: ExpectedCost | None = None,
        execution: Execution = Execution(),
    ) -> None:
        super().__init__(space, skeleton, task, optimizer, clip, epochs, budget, execution)
        if order not in (1, 2):
            raise ValueError(f"{type(self).__name__}(order={order}): give 1 or 2.")
        if epsilon <= 0:
            raise ValueError(f"{type(self).__name__}(epsilon={epsilon}): give a positive number, 0.01 in the paper.")
        if warmup_epochs < 0:
            raise ValueError(f"{type(self).__name__}(warmup_epochs={warmup_epochs}): give a number of 0 or more.")
        self.epsilon, self.warmup_epochs = epsilon, warmup_epochs
        self.order, self.extraction, self.expected_cost = order, extraction, expected_cost
        self.architecture_optimizer = architecture_optimizer
        self.relaxation = relaxation
        self.architecture = nn.ModuleDict(
            {name: nn.ParameterDict(relaxation.init(group)) for name, group in space.groups.items()}
        )

    def recorded(self) -> dict[str, Any]:
        """The arguments but for `extraction`, a function, which has no plain form."""
        return {name: value for name, value in super().recorded().items() if name != "extraction"}

    # --- what is searched -------------------------------------------------------------------------------------------

    @property
    def architecture_parameters(self) -> Parameters:
        """Architecture parameters by group and name."""
        return {name: dict(group.items()) for name, group in self.architecture.items()}  # type: ignore[operator]

    def probabilities(self) -> dict[str, Tensor]:
        """Probability of each candidate on each edge, (edges, candidates) for each group, detached."""
        return {name: self.relaxation.probabilities(group) for name, group in self.architecture_parameters.items()}

    def derive(self) -> Genotype:
        """What is extracted from the probabilities, or the most probable genotype that keeps the limits."""
        probabilities = self._probabilities()
        return most_probable(self.costing, probabilities, self._extract(probabilities), self._extract)

    def _probabilities(self) -> dict[str, Tensor]:
        return {name: value.cpu() for name, value in self.probabilities().items()}

    def _extract(self, probabilities: Mapping[str, Tensor]) -> Genotype:
        return self.extraction(probabilities, self.space) if self.extraction else self.space.discretize(probabilities)

    @cached_property
    def costing(self) -> Costing:
        """What genotypes cost, in the budget's costs and the expected one."""
        also = [] if self.expected_cost is None else [self.expected_cost.cost]
        return Costing(self.budget, self.space, self.skeleton, also)

    @cached_property
    def cost_loss(self) -> CostLoss | None:
        """The expected cost's term of the architecture loss."""
        if self.expected_cost is None:
            return None
        return CostLoss(self.expected_cost, self.costing, lambda: self._extract(self._probabilities()))

    def draw(self, purpose: str, batch_idx: int) -> Architecture:
        source = generator(self.seed, "relaxation", purpose, self.current_epoch, batch_idx)
        architecture: Architecture = self.relaxation(self.architecture_parameters, source)
        return architecture

    # --- training ---------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Refuse data of another form, limits that nothing keeps, and a target out of reach.

        Raises:
            MisconfigurationException: names the argument, its value and the remedy.
        """
        super().setup(stage)
        check_budget(type(self).__name__, self.costing, additive=True)
        if self.cost_loss is not None:
            self.cost_loss.check()

    def on_fit_start(self) -> None:
        """Refuse data that is not split in two, and a warm-up that leaves no epoch for the architecture.

        Raises:
            MisconfigurationException: the training batches are no {"train", "val"}, or the warm-up is too long.
        """
        if self.warmup_epochs >= self.horizon:
            raise MisconfigurationException(
                f"{type(self).__name__}(warmup_epochs={self.warmup_epochs}) in a run of {self.horizon} epochs would "
                "never train the architecture: lower it, or give more epochs."
            )
        self.trainer.fit_loop.setup_data()
        loaders = self.trainer.train_dataloader
        if not isinstance(loaders, Mapping) or set(loaders) != {"train", "val"}:
            data = type(self.trainer.datamodule).__name__  # type: ignore[attr-defined]
            raise MisconfigurationException(
                f"datamodule={data}: a bilevel search needs two training batches at a time, one for the weights and "
                "one for the architecture. Wrap the data module: Bilevel(datamodule, fraction=0.5)."
            )

    def training_step(self, batch: Any, batch_idx: int) -> None:
        for half in ("train", "val"):
            self.check_batch(batch[half], half)
        weight_optimizer, architecture_optimizer = self.optimizers()  # type: ignore[attr-defined]
        size = len(self.task.inputs(batch["train"]))
        with defer_garbage_collection(), self.explain_out_of_memory(size):
            if self.current_epoch >= self.warmup_epochs:
                found = self._architecture_step(batch, batch_idx, weight_optimizer, architecture_optimizer)
                log_step(self, "search/arch_loss", found, size)
            loss = self.weight_step(batch["train"], batch_idx, weight_optimizer)
        self.guard_loss(loss, batch_idx)
        log_step(self, "train/loss", loss, size, prog_bar=True)

    def _loss(self, batch: Any, purpose: str, batch_idx: int) -> Tensor:
        output = self.supernet(self.inputs(batch), self.draw(purpose, batch_idx))
        return self.task.loss(output, batch)

    def _architecture_step(
        self, batch: Any, batch_idx: int, weight_optimizer: LightningOptimizer, optimizer: LightningOptimizer
    ) -> Tensor:
        alphas = parameters_of(optimizer.optimizer)
        weights = parameters_of(weight_optimizer.optimizer)

        def val_loss() -> Tensor:
            loss = self._loss(batch["val"], "architecture", batch_idx)
            return loss + self._penalty().to(loss)

        if self.order == 1:
            with frozen(weights):
                loss = val_loss()
                found = gradients(loss, alphas)
            found = average_tensors(found, self.trainer.strategy)
        else:
            loss, found = unrolled_gradient(
                lambda: self._loss(batch["train"], "architecture", batch_idx),
                val_loss,
                weights,
                alphas,
                self._virtual_step(weights, weight_optimizer.optimizer),
                self.epsilon,
                reduce=lambda tensors: average_tensors(tensors, self.trainer.strategy),
            )
        for alpha, gradient in zip(alphas, found, strict=True):
            alpha.grad = gradient
        # Not through Lightning's wrapper: `global_step` then counts batches, which logging and max_steps expect.
        optimizer.optimizer.step()
        return loss.detach()

    def _penalty(self) -> Tensor:
        """What the architecture loss has besides the task's."""
        found = self.relaxation.penalty(self.architecture_parameters)
        return found if self.cost_loss is None else found + self.cost_loss(self._distributions())

    def _distributions(self) -> dict[str, Tensor]:
        return {name: self.relaxation.distribution(group) for name, group in self.architecture_parameters.items()}

    def _virtual_step(self, weights: list[Tensor], optimizer: Optimizer) -> SgdStep:
        buffers = [optimizer.state[weight].get("momentum_buffer") for weight in weights]
        s = self.optimizer
        return SgdStep(optimizer.param_groups[0]["lr"], s.momentum, s.weight_decay, s.nesterov, buffers)

    def on_train_epoch_end(self) -> None:
        super().on_train_epoch_end()
        for name, probabilities in self.probabilities().items():
            self.log(f"search/entropy/{name}", entropy(probabilities), sync_dist=True)
        if self.cost_loss is not None:
            with torch.no_grad():
                self.log("search/cost", self.cost_loss.expectation(self._distributions()).float(), sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        weights = self.optimizer.build(self.supernet.parameters(), fused=True)
        architecture = self.architecture_optimizer.build(self.architecture.parameters())
        return [weights, architecture], [self.optimizer.scheduler(weights, self.horizon)]
