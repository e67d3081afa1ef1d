"""Methods from papers, each a preset of its family."""

from lightning_nas.methods.darts import DartsSearch
from lightning_nas.methods.enas import EnasSearch
from lightning_nas.methods.evolution import EvolutionSearch
from lightning_nas.methods.gdas import GdasSearch, GumbelHard
from lightning_nas.methods.nasnet import NasnetSearch
from lightning_nas.methods.pareto import ParetoSearch
from lightning_nas.methods.random_search import RandomSearch, RandomSharingSearch
from lightning_nas.methods.reinforce import ReinforceSearch
from lightning_nas.methods.single_path import SinglePathSearch

__all__ = [
    "DartsSearch",
    "EnasSearch",
    "EvolutionSearch",
    "GdasSearch",
    "GumbelHard",
    "NasnetSearch",
    "ParetoSearch",
    "RandomSearch",
    "RandomSharingSearch",
    "ReinforceSearch",
    "SinglePathSearch",
]
