"""Families of searches: each is a LightningModule that the methods give their parts to."""

from lightning_nas.search.base import SearchModule
from lightning_nas.search.differentiable import DifferentiableSearch
from lightning_nas.search.multi_trial import MultiTrialSearch
from lightning_nas.search.supernet import SupernetSearch
from lightning_nas.search.trial_runner import TooManyFailuresError
from lightning_nas.search.weight_sharing import WeightSharingSearch

__all__ = [
    "DifferentiableSearch",
    "MultiTrialSearch",
    "SearchModule",
    "SupernetSearch",
    "TooManyFailuresError",
    "WeightSharingSearch",
]
