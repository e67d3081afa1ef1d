"""How a policy learns from rewards: REINFORCE and PPO."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_nas.config import Configurable
from lightning_nas.functional.policy import ppo_loss, reinforce_loss

Score = Callable[[], tuple[Tensor, Tensor]]
"""Computes the log-probabilities and entropies (B,) of a round's genotypes with the policy as it is now."""


@dataclass(frozen=True)
class PolicyRule(Configurable, ABC):
    """From the rewards of a round to losses of the policy.

    Args:
        entropy_weight: how much the entropy, in nats, counts in the loss.
        baseline_decay: of the moving average of rewards that is subtracted from them.

    Raises:
        ValueError: a number out of range.
    """

    entropy_weight: float = 0.0
    baseline_decay: float = 0.95

    def __post_init__(self) -> None:
        if self.entropy_weight < 0.0:
            raise ValueError(f"{type(self).__name__}(entropy_weight={self.entropy_weight}): give 0 or more.")
        if not 0.0 <= self.baseline_decay < 1.0:
            raise ValueError(f"{type(self).__name__}(baseline_decay={self.baseline_decay}): give a number in [0, 1).")

    @abstractmethod
    def losses(self, score: Score, advantage: Tensor) -> Iterator[Tensor]:
        """Losses to step on, one after the other; each is computed when it is asked for, after the step before.

        Args:
            score: computes log-probabilities and entropies anew.
            advantage: reward less baseline, (B,).
        """


@dataclass(frozen=True)
class Reinforce(PolicyRule):
    """One step on the policy gradient (Williams 1992; Zoph & Le 2017)."""

    def losses(self, score: Score, advantage: Tensor) -> Iterator[Tensor]:
        log_prob, entropy = score()
        yield reinforce_loss(log_prob, advantage) - self.entropy_weight * entropy.mean()


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
            old, _ = score()
        for _ in range(self.steps):
            log_prob, entropy = score()
            yield ppo_loss(log_prob, old, advantage, self.clip) - self.entropy_weight * entropy.mean()
