"""A search for the front of several objectives, by NSGA-II.

Source: Deb, Pratap, Agarwal & Meyarivan, "A Fast and Elitist Multiobjective Genetic Algorithm: NSGA-II", IEEE
Transactions on Evolutionary Computation 6(2), 2002; on architectures Lu et al., "NSGA-Net: Neural Architecture Search
using Multi-Objective Genetic Algorithm", GECCO 2019.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import Unpack

from lightning_nas.costs import Budget
from lightning_nas.evaluators import Evaluator
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.samplers import Nsga2Sampler
from lightning_nas.search.multi_trial import MultiTrialSearch, TrialSettings
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.trials.objectives import Direction
from lightning_nas.trials.reward import MetricReward, Reward
from lightning_nas.trials.trial import Fidelity


class ParetoSearch(MultiTrialSearch):
    """NSGA-II over any space: `search.front` holds the children that no other beats in all objectives.

    `search.best` and `search.derive()` give the child with the best reward. One of the front is chosen with
    `lightning-nas front`, from what the callback `ParetoFront` writes.

    Args:
        space: where to search.
        evaluator: says what a child is worth.
        skeleton: as in `MultiTrialSearch`.
        objectives: "max" or "min" by the name of a metric of the children, at least two; these are NSGA-Net's.
        population: as in `Nsga2Sampler`; 40 in NSGA-Net.
        crossover: as in `Nsga2Sampler`.
        mutation: as in `Nsga2Sampler`.
        fidelity: what children are trained at; None is 25 epochs at full size, as in NSGA-Net.
        fixed: as in `Sampler`.
        reward: None is the first objective that is to be large.
        trials: as in `MultiTrialSearch`; 50 generations of 40 in NSGA-Net.
        round_size: children that are proposed at once; None is a generation, the population's number.
        **settings: `task`, `max_seconds`, `max_failures`, `filename` and `budget` of `MultiTrialSearch`. Without a
            budget, parameters and multiply-accumulates are counted if they are objectives.

    Raises:
        ValueError: a number out of range, or no objective is to be large and no reward given.
        MisconfigurationException: pymoo is not installed.

    Example:
        >>> from lightning_nas import FitEvaluator
        >>> from lightning_nas.data import Digits
        >>> from lightning_nas.spaces import DartsSpace
        >>> search = ParetoSearch(DartsSpace(), FitEvaluator(Digits(validation=0.2)), population=20, trials=100)
        >>> search.sampler.population, search.round_size, search.front
        (20, 20, [])
    """

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator,
        skeleton: Skeleton | None = None,
        objectives: Mapping[str, Direction] = {"val/accuracy": "max", "macs": "min"},
        population: int = 40,
        crossover: float = 0.9,
        mutation: float | None = None,
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
        reward: Reward | None = None,
        trials: int = 2000,
        round_size: int | None = None,
        **settings: Unpack[TrialSettings],
    ) -> None:
        large = next((name for name, direction in objectives.items() if direction == "max"), None)
        if reward is None and large is None:
            raise ValueError(f"ParetoSearch(objectives={dict(objectives)}): none is to be large: give a reward.")
        reward = reward or MetricReward(large or "")
        if "budget" not in settings and {"params", "macs"} & set(objectives):
            settings["budget"] = Budget()
        sampler = Nsga2Sampler(space, objectives, population, crossover, mutation, fidelity or Fidelity(25), fixed)
        round_size = population if round_size is None else round_size
        super().__init__(sampler, evaluator, skeleton, reward, trials=trials, round_size=round_size, **settings)
