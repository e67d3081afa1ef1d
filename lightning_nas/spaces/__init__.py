"""Search spaces from papers, the candidates they are made of, and published cells."""

from lightning_nas.networks.operations import CANDIDATES, Place, register_candidate
from lightning_nas.networks.skeleton import ChainSkeleton, MacroSkeleton
from lightning_nas.spaces.conv_chain import ConvChainSpace
from lightning_nas.spaces.darts import DartsSpace
from lightning_nas.spaces.enas import EnasMacroSpace, EnasMicroSpace
from lightning_nas.spaces.nasbench201 import NasBench201Space
from lightning_nas.spaces.nasnet import NasnetSpace
from lightning_nas.spaces.published import published, published_names

__all__ = [
    "CANDIDATES",
    "ChainSkeleton",
    "ConvChainSpace",
    "DartsSpace",
    "EnasMacroSpace",
    "EnasMicroSpace",
    "MacroSkeleton",
    "NasBench201Space",
    "NasnetSpace",
    "Place",
    "published",
    "published_names",
    "register_candidate",
]
