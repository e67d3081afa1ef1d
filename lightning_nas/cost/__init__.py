"""Costs of networks: what they take besides their accuracy."""

from lightning_nas.cost.activation import PeakActivationMemory
from lightning_nas.cost.base import AdditiveCost, Cost
from lightning_nas.cost.csv_latency import CsvLatency
from lightning_nas.cost.macs import Macs
from lightning_nas.cost.measured import MeasuredLatency
from lightning_nas.cost.parameters import Parameters
from lightning_nas.cost.stopwatch import Latency
from lightning_nas.cost.table_latency import TableLatency
from lightning_nas.cost.terms import CostTerms, OptionalTerm

__all__ = [
    "AdditiveCost",
    "Cost",
    "CostTerms",
    "CsvLatency",
    "Latency",
    "Macs",
    "MeasuredLatency",
    "OptionalTerm",
    "Parameters",
    "PeakActivationMemory",
    "TableLatency",
]
