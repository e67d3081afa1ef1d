"""The search for a cell on a small network, to be stacked into a large one.

Source: Zoph, Vasudevan, Shlens & Le, "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018.
"""

from __future__ import annotations

from typing_extensions import Unpack

from lightning_nas.evaluators import Evaluator
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.samplers.controllers import LstmController, PolicyRule, Ppo
from lightning_nas.search.multi_trial import MultiTrialSearch, TrialSettings
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.optimizer import Adam
from lightning_nas.trials.reward import Reward
from lightning_nas.trials.trial import Fidelity


class NasnetSearch(MultiTrialSearch):
    """The NASNet search with its settings as defaults: an LSTM of one layer, PPO, rounds of twenty children.

    The best cells are stacked larger by the `StackCells` callback.

    Args:
        space: where to search; `NasnetSpace` in the paper.
        evaluator: says what a child is worth.
        skeleton: as in `MultiTrialSearch`.
        hidden: units of the controller.
        layers: of the controller.
        init_range: of the controller's parameters.
        rule: how the controller learns.
        optimizer: Adam of the controller.
        fidelity: what children are trained at; None is 20 epochs at full size.
        reward: None is the validation accuracy after the last epoch.
        trials: as in `MultiTrialSearch`.
        round_size: as in `MultiTrialSearch`.
        **settings: `task`, `max_seconds`, `max_failures`, `filename` and `budget` of `MultiTrialSearch`.

    Example:
        >>> from lightning_nas import FitEvaluator
        >>> from lightning_nas.data import Digits
        >>> from lightning_nas.spaces import DartsSpace
        >>> NasnetSearch(DartsSpace(), FitEvaluator(Digits(validation=0.2))).sampler.rule.clip
        0.2
    """

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator,
        skeleton: Skeleton | None = None,
        hidden: int = 100,
        layers: int = 1,
        init_range: float = 0.1,
        rule: PolicyRule = Ppo(),
        optimizer: Adam = Adam(lr=3.5e-4, betas=(0.9, 0.999), weight_decay=0.0),
        fidelity: Fidelity | None = None,
        reward: Reward | None = None,
        trials: int = 20000,
        round_size: int = 20,
        **settings: Unpack[TrialSettings],
    ) -> None:
        controller = LstmController(space, hidden, layers, init_range, rule, optimizer, fidelity or Fidelity(epochs=20))
        super().__init__(controller, evaluator, skeleton, reward, trials=trials, round_size=round_size, **settings)
