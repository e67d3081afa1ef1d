"""GDAS: one path is sampled per forward, and only its operations run.

Source: Dong & Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019.
"""

from __future__ import annotations

import torch

from lightning_nas.architecture.edges import Architecture, EdgeWeights
from lightning_nas.architecture.relaxation import Parameters, Relaxation
from lightning_nas.costs import Budget, ExpectedCost
from lightning_nas.execution.settings import Execution
from lightning_nas.functional.relax import gumbel_noise, hard_gumbel_softmax
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.memory import moved
from lightning_nas.search.differentiable import DifferentiableSearch, Extraction
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.training.optimizer import Adam, Sgd
from lightning_nas.training.task import Task


class GumbelHard(Relaxation):
    """A one-hot Gumbel sample for each edge, the same for all cells of a type, with the soft sample's gradient.

    Args:
        temperature: tau, set anew each epoch by the `TemperatureSchedule` callback.
        inactive_gradient: add the zero-valued weights of the operations that were not drawn, so that they get a
            gradient too.
    """

    def __init__(self, temperature: float = 10.0, inactive_gradient: bool = False) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"GumbelHard(temperature={temperature}): give a positive number.")
        self.temperature = temperature
        self.inactive_gradient = inactive_gradient

    def forward(self, parameters: Parameters, generator: torch.Generator) -> Architecture:
        values, drawn = {}, []
        for name, group in parameters.items():
            alpha = group["alpha"]
            noise = moved(gumbel_noise(tuple(alpha.shape), generator), alpha.device, alpha.dtype)
            values[name], index = hard_gumbel_softmax(alpha, noise, self.temperature)
            drawn.append(index)
        flat = iter(torch.cat(drawn).tolist())  # the one copy to the host of a draw
        return {
            name: EdgeWeights(value, tuple((next(flat),) for _ in range(len(value))), self.inactive_gradient)
            for name, value in values.items()
        }


class GdasSearch(DifferentiableSearch):
    """GDAS with the authors' recipe as defaults; arguments as in `DifferentiableSearch`, and these.

    Give the trainer a `TemperatureSchedule(10, 0.1)` as the authors have it.

    Args:
        temperature: tau until a schedule sets it.
        inactive_gradient: None is what the authors have: on for NAS-Bench-201, off for the DARTS space.

    Example:
        >>> from lightning_nas import StagedSkeleton
        >>> from lightning_nas.spaces import NasBench201Space
        >>> search = GdasSearch(NasBench201Space(), StagedSkeleton(channels=4, cells_per_stage=1))
        >>> search.relaxation.inactive_gradient
        True
    """

    def __init__(
        self,
        space: SupernetSpace,
        skeleton: Skeleton,
        task: Task | None = None,
        temperature: float = 10.0,
        inactive_gradient: bool | None = None,
        optimizer: Sgd = Sgd(lr=0.025, lr_min=0.001, momentum=0.9, weight_decay=5e-4, nesterov=True),
        architecture_optimizer: Adam = Adam(lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
        clip: float | None = 5.0,
        epochs: int | None = None,
        extraction: Extraction | None = None,
        warmup_epochs: int = 0,
        budget: Budget | None = None,
        expected_cost: ExpectedCost | None = None,
        execution: Execution = Execution(),
    ) -> None:
        inactive = space.inactive_gradient if inactive_gradient is None else inactive_gradient
        relaxation = GumbelHard(temperature, inactive)
        super().__init__(
            space,
            skeleton,
            relaxation,
            task,
            optimizer=optimizer,
            architecture_optimizer=architecture_optimizer,
            clip=clip,
            epochs=epochs,
            extraction=extraction,
            warmup_epochs=warmup_epochs,
            budget=budget,
            expected_cost=expected_cost,
            execution=execution,
        )
