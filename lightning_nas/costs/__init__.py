"""Costs of networks: what they take besides their accuracy."""

from lightning_nas.costs.additive import Expectation, ExpectedCost
from lightning_nas.costs.base import AdditiveCost, Cost, CostTerms, OptionalTerm
from lightning_nas.costs.budget import Budget, Costing
from lightning_nas.costs.counts import Macs, Parameters, PeakActivationMemory
from lightning_nas.costs.latency_files import CsvLatency
from lightning_nas.costs.limits import NothingFitsError
from lightning_nas.costs.measured import Latency, MeasuredLatency
from lightning_nas.costs.table_latency import TableLatency

__all__ = [
    "AdditiveCost",
    "Budget",
    "Cost",
    "CostTerms",
    "Costing",
    "CsvLatency",
    "Expectation",
    "ExpectedCost",
    "Latency",
    "Macs",
    "MeasuredLatency",
    "NothingFitsError",
    "OptionalTerm",
    "Parameters",
    "PeakActivationMemory",
    "TableLatency",
]
