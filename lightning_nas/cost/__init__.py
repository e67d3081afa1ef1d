"""Costs of networks: what they take besides their accuracy."""

from lightning_nas.cost.activation import PeakActivationMemory
from lightning_nas.cost.base import AdditiveCost, Cost
from lightning_nas.cost.budget import Budget
from lightning_nas.cost.costing import Costing
from lightning_nas.cost.csv_latency import CsvLatency
from lightning_nas.cost.expected import Expectation, ExpectedCost
from lightning_nas.cost.macs import Macs
from lightning_nas.cost.measured import MeasuredLatency
from lightning_nas.cost.parameters import Parameters
from lightning_nas.cost.stopwatch import Latency
from lightning_nas.cost.table_latency import TableLatency
from lightning_nas.cost.terms import CostTerms, OptionalTerm
from lightning_nas.cost.within import NothingFitsError

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
