"""Random search with weight sharing, the baseline of all searches that share weights.

Source: Li & Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.
"""

from __future__ import annotations

from lightning_nas.cost import Budget
from lightning_nas.derivation import Derivation
from lightning_nas.optimizer import Sgd
from lightning_nas.sampler import UniformSampler
from lightning_nas.search.weight_sharing import WeightSharingSearch
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SupernetSpace
from lightning_nas.task import Task


class RandomSharingSearch(WeightSharingSearch):
    """A supernet trained on uniform paths; the best of a hundred random ones is the result.

    Its data is `Phased(..., fraction=0.5)`, without a phase for the sampler, which learns nothing.

    Args:
        space: where to search.
        skeleton: sizes of the supernet.
        derivation: None is the best of 100 paths on 10 batches, once, after the last epoch.
        task: as in `WeightSharingSearch`.
        optimizer: as in `WeightSharingSearch`; the default is NAS-Bench-201's, of 250 epochs.
        clip: as in `WeightSharingSearch`.
        epochs: as in `WeightSharingSearch`.
        budget: as in `WeightSharingSearch`.

    Example:
        >>> from lightning_nas.spaces import NasBench201Space
        >>> space = NasBench201Space()
        >>> RandomSharingSearch(space, space.skeleton(channels=4)).derivation.candidates
        100
    """

    def __init__(
        self,
        space: SupernetSpace,
        skeleton: Skeleton,
        derivation: Derivation | None = None,
        task: Task | None = None,
        optimizer: Sgd = Sgd(lr=0.025, lr_min=0.001, nesterov=True, weight_decay=5e-4),
        clip: float | None = 5.0,
        epochs: int | None = None,
        budget: Budget | None = None,
    ) -> None:
        derivation = derivation or Derivation(candidates=100, batches=10, every=0)
        sampler = UniformSampler(space)
        super().__init__(sampler, skeleton, derivation, None, task, optimizer, clip, epochs, budget=budget)
