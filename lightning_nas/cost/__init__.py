"""Costs of networks: what they take besides their accuracy."""

from lightning_nas.cost.base import AdditiveCost, Cost, CostTerms

__all__ = ["AdditiveCost", "Cost", "CostTerms"]
