"""ENAS: a controller learns from paths of one supernet, trained in turn with it.

Source: Pham, Guan, Zoph, Le & Dean, "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018, and the
authors' code, https://github.com/melodyguan/enas.
"""

from __future__ import annotations

from lightning_nas.costs import Budget
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.samplers.controllers import LstmController, PolicyRule, Reinforce
from lightning_nas.search.derivation import Derivation
from lightning_nas.search.weight_sharing import WeightSharingSearch
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.training.optimizer import Adam, Sgd
from lightning_nas.training.task import Task
from lightning_nas.trials.reward import Reward


class EnasSearch(WeightSharingSearch):
    """ENAS with the authors' micro search as defaults; arguments as in `WeightSharingSearch`, and these.

    Its data is `Phased(..., fraction=0.9, sampler_steps=300)`. Their macro search (`EnasMacroSpace`) has a controller
    rate of 0.001, rounds of 20, `tanh_constant=3.0` and `op_tanh_reduce=2.0`, as in
    `configs/enas/cifar10_macro_search.yaml`. Decay is twice their `l2`, whose gradient is 2 w.

    Args:
        space: where to search.
        hidden: units of the controller.
        layers: of the controller.
        init_range: of the controller's parameters.
        temperature: of the controller's logits.
        tanh_constant: bound of its logits.
        op_tanh_reduce: what the bound is divided by for operations.
        rule: how the controller learns; the penalty of skips counts in spaces with anchors alone.
        controller_optimizer: Adam of the controller.

    Example:
        >>> from lightning_nas.spaces import EnasMicroSpace
        >>> space = EnasMicroSpace(blocks=2)
        >>> EnasSearch(space, space.skeleton(cells=3, channels=4)).sampler.tanh_constant
        1.1
    """

    def __init__(
        self,
        space: SupernetSpace,
        skeleton: Skeleton,
        derivation: Derivation | None = None,
        reward: Reward | None = None,
        task: Task | None = None,
        hidden: int = 64,
        layers: int = 1,
        init_range: float = 0.1,
        temperature: float | None = None,
        tanh_constant: float | None = 1.1,
        op_tanh_reduce: float = 2.5,
        rule: PolicyRule = Reinforce(entropy_weight=1e-4, baseline_decay=0.99, skip_target=0.4, skip_weight=0.8),
        controller_optimizer: Adam = Adam(lr=3.5e-3, betas=(0.0, 0.999), weight_decay=0.0, eps=1e-3),
        optimizer: Sgd = Sgd(lr=0.05, lr_min=5e-4, nesterov=True, weight_decay=2e-4, schedule="restarts"),
        clip: float | None = 5.0,
        epochs: int | None = None,
        round_size: int = 10,
        budget: Budget | None = None,
        execution: Execution = Execution(),
    ) -> None:
        controller = LstmController(
            space,
            hidden,
            layers,
            init_range,
            rule,
            controller_optimizer,
            temperature=temperature,
            tanh_constant=tanh_constant,
            op_tanh_reduce=op_tanh_reduce,
        )
        super().__init__(
            controller, skeleton, derivation, reward, task, optimizer, clip, epochs, round_size, budget, execution
        )
