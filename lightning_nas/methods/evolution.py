"""Regularized evolution as a method.

Source: Real, Aggarwal, Huang & Le, "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import Unpack

from lightning_nas.evaluators import Evaluator
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.samplers import RegularizedEvolution
from lightning_nas.search.multi_trial import MultiTrialSearch, TrialSettings
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.trials.reward import Reward
from lightning_nas.trials.trial import Fidelity


class EvolutionSearch(MultiTrialSearch):
    """Aging evolution with the paper's settings as defaults: of 100 living children the best of 25 is mutated.

    Args:
        space: where to search.
        evaluator: says what a child is worth.
        skeleton: as in `MultiTrialSearch`.
        population: how many children live.
        sample: how many of them compete to be mutated.
        fidelity: what children are trained at; None is 25 epochs at full size.
        fixed: as in `Sampler`.
        reward: None is the validation accuracy after the last epoch.
        trials: as in `MultiTrialSearch`.
        round_size: as in `MultiTrialSearch`; children of a round do not descend from each other.
        **settings: `task`, `max_seconds`, `max_failures`, `filename` and `budget` of `MultiTrialSearch`.

    Example:
        >>> from lightning_nas import FitEvaluator
        >>> from lightning_nas.data import Digits
        >>> from lightning_nas.spaces import DartsSpace
        >>> EvolutionSearch(DartsSpace(), FitEvaluator(Digits(validation=0.2))).sampler.population
        100
    """

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator,
        skeleton: Skeleton | None = None,
        population: int = 100,
        sample: int = 25,
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
        reward: Reward | None = None,
        trials: int = 20000,
        round_size: int = 1,
        **settings: Unpack[TrialSettings],
    ) -> None:
        sampler = RegularizedEvolution(space, population, sample, fidelity or Fidelity(epochs=25), fixed)
        super().__init__(sampler, evaluator, skeleton, reward, trials=trials, round_size=round_size, **settings)
