"""Rewards: from what an evaluator measured to the one number that a sampler learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from lightning_nas.config import Configurable
from lightning_nas.trials.trial import Evaluation


class Reward(Configurable, ABC):
    """A number for a child, higher is better."""

    needs: tuple[str, ...] = ()
    """Names of the costs that it is made of."""

    @abstractmethod
    def __call__(self, evaluation: Evaluation) -> float:
        """The reward.

        Raises:
            ValueError: the evaluation lacks what the reward is made of.
        """


class MetricReward(Reward):
    """The best value of a metric in the last epochs, to a power.

    Args:
        metric: its name.
        last: how many epochs at the end count; 5 in Zoph & Le (2017).
        power: 3 in Zoph & Le (2017), which spreads high accuracies.

    Raises:
        ValueError: a number below 1, or a power that is not positive.

    Example:
        >>> evaluation = Evaluation({"val/accuracy": 0.5}, {"val/accuracy": (0.9, 0.6, 0.8, 0.5)})
        >>> MetricReward()(evaluation), round(MetricReward(last=3, power=2)(evaluation), 2)
        (0.5, 0.64)
    """

    def __init__(self, metric: str = "val/accuracy", last: int = 1, power: float = 1.0) -> None:
        if last < 1 or power <= 0:
            raise ValueError(f"MetricReward(last={last}, power={power}): give at least one epoch and a positive power.")
        self.metric, self.last, self.power = metric, last, power

    def __call__(self, evaluation: Evaluation) -> float:
        if self.metric not in evaluation.metrics:
            raise ValueError(
                f"MetricReward(metric={self.metric!r}): children have {', '.join(evaluation.metrics) or 'no metrics'}. "
                "Name one of these, and give the data module a validation part, such as validation=0.1."
            )
        best = float(max(evaluation.curve(self.metric)[-self.last :]))
        if best < 0 and not float(self.power).is_integer():
            raise ValueError(
                f"MetricReward(power={self.power}): {self.metric} is {best}, and a negative number has no such power: "
                "give a whole power."
            )
        return best**self.power


class WeightedProduct(Reward):
    """The reward times a power of the cost: `reward * (cost / target) ** w`, w being alpha up to the target, else beta.

    Source: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", CVPR 2019, equations 2 and 3.
    With alpha = beta = -0.07 twice the cost is worth 5 % of accuracy, on either side of the target (their soft
    constraint); alpha = 0 and beta = -1 count accuracy alone below it and bring a sharp loss above (their hard one).

    Args:
        cost: its name, such as `latency_ms`; one of the search's `budget`.
        target: T of the paper, in the cost's unit.
        alpha: the power where the cost is at most the target.
        beta: the power above it.
        reward: what is multiplied; None is the validation accuracy.

    Raises:
        ValueError: a target that is not positive, or powers that reward cost.

    Example:
        >>> fast, slow = ({"val/accuracy": 0.8, "latency_ms": latency} for latency in (5.0, 10.0))
        >>> reward = WeightedProduct("latency_ms", target=5.0)
        >>> round(reward(Evaluation(fast)), 3), round(reward(Evaluation(slow)), 3)
        (0.8, 0.762)
    """

    def __init__(
        self, cost: str, target: float, alpha: float = -0.07, beta: float = -0.07, reward: Reward | None = None
    ) -> None:
        if not target > 0:
            raise ValueError(f"WeightedProduct(target={target}): give a positive number, in the unit of {cost}.")
        if alpha > 0 or beta > 0:
            raise ValueError(f"WeightedProduct(alpha={alpha}, beta={beta}): give 0, or negative powers as in MnasNet.")
        self.cost, self.target, self.alpha, self.beta = cost, target, alpha, beta
        self.reward = reward or MetricReward()
        self.needs = (*self.reward.needs, cost)

    def __call__(self, evaluation: Evaluation) -> float:
        cost = cost_of(evaluation, self.cost, type(self).__name__)
        if not cost > 0:
            raise ValueError(f"WeightedProduct(cost={self.cost!r}): the child's is {cost}, not positive.")
        share = cost / self.target
        return float(self.reward(evaluation) * share ** (self.alpha if share <= 1 else self.beta))


class WeightedSum(Reward):
    """The reward less a weighted sum of costs.

    Args:
        weights: how much of the reward one unit of a cost is worth, by its name; the search's `budget` has them.
        reward: what they are taken from; None is the validation accuracy.

    Raises:
        ValueError: no weight, or a negative one.

    Example:
        >>> evaluation = Evaluation({"val/accuracy": 0.9, "params": 2e6})
        >>> round(WeightedSum({"params": 1e-8})(evaluation), 3)  # a million parameters are worth 1 % of accuracy
        0.88
    """

    def __init__(self, weights: Mapping[str, float], reward: Reward | None = None) -> None:
        self.weights, self.reward = dict(weights), reward or MetricReward()
        if not self.weights or min(self.weights.values()) < 0:
            raise ValueError(
                f"WeightedSum(weights={self.weights}): name a cost or more, each with a weight of 0 or more: what one "
                "unit of it takes from the reward."
            )
        self.needs = (*self.reward.needs, *self.weights)

    def __call__(self, evaluation: Evaluation) -> float:
        costs = {name: cost_of(evaluation, name, type(self).__name__) for name in self.weights}
        return self.reward(evaluation) - sum(weight * costs[name] for name, weight in self.weights.items())


def cost_of(evaluation: Evaluation, name: str, owner: str) -> float:
    """A cost among the metrics of a child.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in evaluation.metrics:
        raise ValueError(
            f"{owner} needs the cost {name!r}, and children have {', '.join(evaluation.metrics) or 'no metrics'}: give "
            "the search budget=Budget(costs=[...]) with a cost of this name."
        )
    return float(evaluation.metrics[name])
