"""Costs of networks: what they take besides their accuracy."""

from lightning_nas.cost.base import AdditiveCost, Cost, CostTerms
from lightning_nas.cost.budget import Budget
from lightning_nas.cost.costing import Costing
from lightning_nas.cost.expected import Expectation, ExpectedCost
from lightning_nas.cost.within import NothingFitsError

__all__ = [
    "AdditiveCost",
    "Budget",
    "Cost",
    "CostTerms",
    "Costing",
    "Expectation",
    "ExpectedCost",
    "NothingFitsError",
]
