"""Search spaces from papers, the candidates they are made of, and published cells."""

from lightning_nas.spaces.darts import DartsSpace
from lightning_nas.spaces.nasbench201 import NasBench201Space
from lightning_nas.spaces.operations import CANDIDATES, Place, register_candidate
from lightning_nas.spaces.published import published, published_names

__all__ = [
    "CANDIDATES",
    "DartsSpace",
    "NasBench201Space",
    "Place",
    "published",
    "published_names",
    "register_candidate",
]
