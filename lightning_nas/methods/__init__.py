"""Methods from papers, each a preset of its family."""

from lightning_nas.methods.darts import DartsSearch
from lightning_nas.methods.gdas import GdasSearch, GumbelHard

__all__ = ["DartsSearch", "GdasSearch", "GumbelHard"]
