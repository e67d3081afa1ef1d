"""Samplers: who decides which child comes next."""

from lightning_nas.samplers.base import Sampler, UniformSampler
from lightning_nas.samplers.evolution import RegularizedEvolution
from lightning_nas.samplers.halving import FidelitySchedule, SuccessiveHalving
from lightning_nas.samplers.nsga2 import Nsga2Sampler

__all__ = [
    "FidelitySchedule",
    "Nsga2Sampler",
    "RegularizedEvolution",
    "Sampler",
    "SuccessiveHalving",
    "UniformSampler",
]
