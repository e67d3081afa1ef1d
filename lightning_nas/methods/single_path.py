"""Single path one-shot: a supernet trained on uniform paths, then evolution over what its paths are worth.

Source: Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020.
"""

from __future__ import annotations

from lightning_nas.costs import Budget
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.samplers import RegularizedEvolution, UniformSampler
from lightning_nas.search.derivation import Derivation
from lightning_nas.search.weight_sharing import WeightSharingSearch
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.training.optimizer import Sgd
from lightning_nas.training.task import Task


class SinglePathSearch(WeightSharingSearch):
    """SPOS: uniform paths, then evolution whose children normalise with running statistics of their own.

    The paper evolves 20 generations of 50 by mutation and crossover; here the same number of children descend by
    regularized evolution. Its data is `Phased(..., fraction=...)` without a phase for the sampler.

    Args:
        space: where to search.
        skeleton: sizes of the supernet.
        population: of the evolution.
        sample: how many of them compete to be mutated.
        candidates: children of the evolution in all.
        batches: validation batches that each is scored on.
        recalibrate: training batches for the running statistics of each.
        every: an evolution every so many epochs; 0: after the last one alone.
        task: as in `WeightSharingSearch`.
        optimizer: as in `WeightSharingSearch`.
        clip: as in `WeightSharingSearch`.
        epochs: as in `WeightSharingSearch`.
        budget: as in `WeightSharingSearch`; the evolution mutates again what would break a limit.
        execution: as in `WeightSharingSearch`.

    Example:
        >>> from lightning_nas.spaces import NasBench201Space
        >>> space = NasBench201Space()
        >>> SinglePathSearch(space, space.skeleton(channels=4)).derivation.statistics
        'recalibrated'
    """

    def __init__(
        self,
        space: SupernetSpace,
        skeleton: Skeleton,
        population: int = 50,
        sample: int = 10,
        candidates: int = 1000,
        batches: int = 10,
        recalibrate: int = 20,
        every: int = 0,
        task: Task | None = None,
        optimizer: Sgd = Sgd(lr=0.025, lr_min=0.001, nesterov=True, weight_decay=5e-4),
        clip: float | None = 5.0,
        epochs: int | None = None,
        budget: Budget | None = None,
        execution: Execution = Execution(),
    ) -> None:
        evolution = RegularizedEvolution(space, population, sample)
        derivation = Derivation(candidates, batches, every, "recalibrated", recalibrate, evolution)
        sampler = UniformSampler(space)
        super().__init__(
            sampler, skeleton, derivation, None, task, optimizer, clip, epochs, budget=budget, execution=execution
        )
