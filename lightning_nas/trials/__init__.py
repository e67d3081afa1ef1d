"""Trials: proposals and what became of them, rewards, objectives, files."""

from lightning_nas.trials.reward import MetricReward, Reward, WeightedProduct, WeightedSum
from lightning_nas.trials.trial import Evaluation, Fidelity, Proposal, Trial, best_trial

__all__ = [
    "Evaluation",
    "Fidelity",
    "MetricReward",
    "Proposal",
    "Reward",
    "Trial",
    "WeightedProduct",
    "WeightedSum",
    "best_trial",
]
