"""How a policy learns from rewards: REINFORCE and PPO."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_nas.config import Configurable
from lightning_nas.functional.policy import ppo_loss, reinforce_loss


class Scores(NamedTuple):
    """What a policy says of genotypes, each (B,), in nats and with gradient.

    `skip_penalty` is the mean, over the anchors that a genotype chose, of their `skip_divergence` from the rule's
    target; 0 without any.
    """

    log_prob: Tensor
    entropy: Tensor
    skip_penalty: Tensor


Score = Callable[[], Scores]
"""Scores the genotypes of a round with the policy as it is now."""


@dataclass(frozen=True)
class PolicyRule(Configurable, ABC):
    """From the rewards of a round to losses of the policy.

    Args:
        entropy_weight: how much the entropy, in nats, counts in the loss.
        baseline_decay: of the moving average of rewards that is subtracted from them.
        skip_target: how likely an earlier layer should be read by anchors; 0.4 in ENAS (Pham et al. 2018).
        skip_weight: how much the divergence from `skip_target` counts in the loss; 0.8 in ENAS.

    Raises:
        ValueError: a number out of range.
    """

    entropy_weight: float = 0.0
    baseline_decay: float = 0.95
    skip_target: float = field(default=0.4, kw_only=True)
    skip_weight: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        if self.entropy_weight < 0.0:
            raise ValueError(f"{type(self).__name__}(entropy_weight={self.entropy_weight}): give 0 or more.")
        if not 0.0 <= self.baseline_decay < 1.0:
            raise ValueError(f"{type(self).__name__}(baseline_decay={self.baseline_decay}): give a number in [0, 1).")
        if not 0.0 < self.skip_target < 1.0:
            raise ValueError(
                f"{type(self).__name__}(skip_target={self.skip_target}): give a number between 0 and 1, without these."
            )
        if not self.skip_weight >= 0.0:
            raise ValueError(
                f"{type(self).__name__}(skip_weight={self.skip_weight}): give 0, which turns it off, or more."
            )

    def regularizer(self, scores: Scores) -> Tensor:
        """What a loss has besides the rewards' part: less for entropy, more for skips far from their target."""
        found = -self.entropy_weight * scores.entropy.mean()
        return found + self.skip_weight * scores.skip_penalty.mean() if self.skip_weight else found

    @abstractmethod
    def losses(self, score: Score, advantage: Tensor) -> Iterator[Tensor]:
        """Losses to step on, one after the other; each is computed when it is asked for, after the step before.

        Args:
            score: computes the scores anew.
            advantage: reward less baseline, (B,).
        """


@dataclass(frozen=True)
class Reinforce(PolicyRule):
    """One step on the policy gradient (Williams 1992; Zoph & Le 2017).

    The entropy counts in the loss; the authors of ENAS add it to the reward instead, without gradient.
    """

    def losses(self, score: Score, advantage: Tensor) -> Iterator[Tensor]:
        scores = score()
        yield reinforce_loss(scores.log_prob, advantage) + self.regularizer(scores)


@dataclass(frozen=True)
class Ppo(PolicyRule):
    """Several steps on the clipped surrogate (Schulman et al. 2017; Zoph et al. 2018).

    The probabilities that the genotypes were drawn with are those of the policy before the first step: they are
    computed then, and not kept with the trials.

    Args:
        entropy_weight: as in `PolicyRule`; 1e-5 in the NASNet paper.
        baseline_decay: as in `PolicyRule`; 0.95 in the NASNet paper.
        clip: how far a ratio of probabilities counts.
        steps: on the same round.
        skip_target: as in `PolicyRule`.
        skip_weight: as in `PolicyRule`.
    """

    entropy_weight: float = 1e-5
    clip: float = 0.2
    steps: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip <= 0.0 or self.steps < 1:
            raise ValueError(f"Ppo(clip={self.clip}, steps={self.steps}): give a positive clip and at least one step.")

    def losses(self, score: Score, advantage: Tensor) -> Iterator[Tensor]:
        with torch.no_grad():
            old = score().log_prob
        for _ in range(self.steps):
            scores = score()
            yield ppo_loss(scores.log_prob, old, advantage, self.clip) + self.regularizer(scores)
