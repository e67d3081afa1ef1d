"""Random search, with children trained one by one and with shared weights."""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import Unpack

from lightning_nas.costs import Budget
from lightning_nas.evaluators import Evaluator
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.samplers import UniformSampler
from lightning_nas.search.derivation import Derivation
from lightning_nas.search.multi_trial import MultiTrialSearch, TrialSettings
from lightning_nas.search.weight_sharing import WeightSharingSearch
from lightning_nas.spaces.base import SearchSpace, SupernetSpace
from lightning_nas.training.optimizer import Sgd
from lightning_nas.training.task import Task
from lightning_nas.trials.reward import Reward
from lightning_nas.trials.trial import Fidelity


class RandomSearch(MultiTrialSearch):
    """Children drawn uniformly, trained as those of any other method.

    Args:
        space: where to search.
        evaluator: says what a child is worth.
        skeleton: as in `MultiTrialSearch`.
        fidelity: what children are trained at; None is 20 epochs at full size.
        fixed: as in `Sampler`.
        reward: None is the validation accuracy after the last epoch.
        trials: as in `MultiTrialSearch`.
        round_size: as in `MultiTrialSearch`.
        **settings: `task`, `max_seconds`, `max_failures`, `filename` and `budget` of `MultiTrialSearch`.

    Example:
        >>> from lightning_nas import FitEvaluator
        >>> from lightning_nas.data import Digits
        >>> from lightning_nas.spaces import DartsSpace
        >>> RandomSearch(DartsSpace(), FitEvaluator(Digits(validation=0.2)), trials=24).trials
        24
    """

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator,
        skeleton: Skeleton | None = None,
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
        reward: Reward | None = None,
        trials: int = 100,
        round_size: int = 1,
        **settings: Unpack[TrialSettings],
    ) -> None:
        sampler = UniformSampler(space, fidelity, fixed)
        super().__init__(sampler, evaluator, skeleton, reward, trials=trials, round_size=round_size, **settings)


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
        execution: as in `WeightSharingSearch`.

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
        execution: Execution = Execution(),
    ) -> None:
        derivation = derivation or Derivation(candidates=100, batches=10, every=0)
        sampler = UniformSampler(space)
        super().__init__(
            sampler, skeleton, derivation, None, task, optimizer, clip, epochs, budget=budget, execution=execution
        )
