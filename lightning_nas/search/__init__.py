"""Families of searches: each is a LightningModule that the methods give their parts to."""

from lightning_nas.search.base import SearchModule
from lightning_nas.search.differentiable import DifferentiableSearch

__all__ = ["DifferentiableSearch", "SearchModule"]
