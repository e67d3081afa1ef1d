"""Samplers: who decides which child comes next."""

from lightning_nas.sampler.base import Sampler
from lightning_nas.sampler.evolution import RegularizedEvolution
from lightning_nas.sampler.halving import SuccessiveHalving
from lightning_nas.sampler.nsga2 import Nsga2Sampler
from lightning_nas.sampler.schedule import FidelitySchedule
from lightning_nas.sampler.uniform import UniformSampler

__all__ = [
    "FidelitySchedule",
    "Nsga2Sampler",
    "RegularizedEvolution",
    "Sampler",
    "SuccessiveHalving",
    "UniformSampler",
]
