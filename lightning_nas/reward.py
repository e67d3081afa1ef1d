"""Rewards: from what an evaluator measured to the one number that a sampler learns from."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lightning_nas.config import Configurable
from lightning_nas.trial import Evaluation


class Reward(Configurable, ABC):
    """A number for a child, higher is better."""

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
