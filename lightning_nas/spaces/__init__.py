"""Search spaces from papers, the candidates they are made of, and published cells."""

from lightning_nas.spaces.conv_chain import ChainSkeleton, ConvChainSpace
from lightning_nas.spaces.darts import DartsSpace
from lightning_nas.spaces.enas_macro import EnasMacroSpace
from lightning_nas.spaces.enas_micro import EnasMicroSpace
from lightning_nas.spaces.macro_skeleton import MacroSkeleton
from lightning_nas.spaces.nasbench201 import NasBench201Space
from lightning_nas.spaces.nasnet import NasnetSpace
from lightning_nas.spaces.operations import CANDIDATES, Place, register_candidate
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
