"""Random search, the baseline that every search has to beat.

Source: Li & Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import Unpack

from lightning_nas.evaluator import Evaluator
from lightning_nas.reward import Reward
from lightning_nas.sampler import UniformSampler
from lightning_nas.search.multi_trial import MultiTrialSearch, TrialSettings
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace
from lightning_nas.trial import Fidelity


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
