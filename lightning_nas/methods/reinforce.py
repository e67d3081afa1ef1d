"""The search with which it began: a recurrent controller learns from the accuracy of trained children.

Source: Zoph & Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017.
"""

from __future__ import annotations

from collections.abc import Mapping

from typing_extensions import Unpack

from lightning_nas.evaluators import Evaluator
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.samplers.controllers import LstmController, PolicyRule, Reinforce
from lightning_nas.search.multi_trial import MultiTrialSearch, TrialSettings
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.optimizer import Adam
from lightning_nas.trials.reward import MetricReward, Reward
from lightning_nas.trials.trial import Fidelity


class ReinforceSearch(MultiTrialSearch):
    """Zoph & Le's search with their settings as defaults: an LSTM of two layers, REINFORCE, rounds of eight children.

    Args:
        space: where to search.
        evaluator: says what a child is worth.
        skeleton: as in `MultiTrialSearch`.
        hidden: units of each layer of the controller.
        layers: of the controller.
        init_range: of the controller's parameters.
        rule: how the controller learns.
        optimizer: Adam of the controller.
        fidelity: what children are trained at; None is 50 epochs at full size.
        fixed: as in `Sampler`; `{0: {"depth": "6"}, 1600: {"depth": "8"}}` lets the networks grow.
        reward: None is the best validation accuracy of the last five epochs, cubed.
        trials: as in `MultiTrialSearch`.
        round_size: as in `MultiTrialSearch`.
        **settings: `task`, `max_seconds`, `max_failures`, `filename` and `budget` of `MultiTrialSearch`.

    Example:
        >>> from lightning_nas import FitEvaluator
        >>> from lightning_nas.data import Digits
        >>> from lightning_nas.spaces import NasBench201Space
        >>> search = ReinforceSearch(NasBench201Space(), FitEvaluator(Digits(validation=0.2)))
        >>> search.reward.power, search.sampler.optimizer.lr
        (3.0, 0.0006)
    """

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator,
        skeleton: Skeleton | None = None,
        hidden: int = 35,
        layers: int = 2,
        init_range: float = 0.08,
        rule: PolicyRule = Reinforce(),
        optimizer: Adam = Adam(lr=6e-4, betas=(0.9, 0.999), weight_decay=0.0),
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
        reward: Reward | None = None,
        trials: int = 12800,
        round_size: int = 8,
        **settings: Unpack[TrialSettings],
    ) -> None:
        fidelity = fidelity or Fidelity(epochs=50)
        controller = LstmController(space, hidden, layers, init_range, rule, optimizer, fidelity, fixed)
        reward = reward or MetricReward(last=5, power=3.0)
        super().__init__(controller, evaluator, skeleton, reward, trials=trials, round_size=round_size, **settings)
