"""Costs of networks: what they take besides their accuracy."""

from lightning_nas.cost.base import AdditiveCost, Cost
from lightning_nas.cost.macs import Macs
from lightning_nas.cost.parameters import Parameters
from lightning_nas.cost.terms import CostTerms, OptionalTerm

__all__ = ["AdditiveCost", "Cost", "CostTerms", "Macs", "OptionalTerm", "Parameters"]
