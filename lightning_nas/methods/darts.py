"""DARTS: every candidate runs, weighted with a softmax.

Source: Liu, Simonyan & Yang, "DARTS: Differentiable Architecture Search", ICLR 2019.
"""

from __future__ import annotations

from typing import Literal

from lightning_nas.architecture.relaxation import Softmax
from lightning_nas.costs import Budget, ExpectedCost
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.search.differentiable import DifferentiableSearch, Extraction
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.training.optimizer import Adam, Sgd
from lightning_nas.training.task import Task


class DartsSearch(DifferentiableSearch):
    """DARTS with the authors' recipe as defaults; arguments as in `DifferentiableSearch`.

    Example:
        >>> from lightning_nas import CellSkeleton
        >>> from lightning_nas.spaces import DartsSpace
        >>> search = DartsSearch(DartsSpace(), CellSkeleton(cells=2, channels=4), order=2)
        >>> search.derive() in search.space
        True
    """

    def __init__(
        self,
        space: SupernetSpace,
        skeleton: Skeleton,
        task: Task | None = None,
        order: Literal[1, 2] = 1,
        optimizer: Sgd = Sgd(lr=0.025, lr_min=0.001, momentum=0.9, weight_decay=3e-4),
        architecture_optimizer: Adam = Adam(lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
        clip: float | None = 5.0,
        epochs: int | None = None,
        extraction: Extraction | None = None,
        epsilon: float = 0.01,
        warmup_epochs: int = 0,
        budget: Budget | None = None,
        expected_cost: ExpectedCost | None = None,
        execution: Execution = Execution(),
    ) -> None:
        relaxation = Softmax()
        super().__init__(
            space,
            skeleton,
            relaxation,
            task,
            order,
            optimizer,
            architecture_optimizer,
            clip,
            epochs,
            extraction,
            epsilon,
            warmup_epochs,
            budget,
            expected_cost,
            execution,
        )
