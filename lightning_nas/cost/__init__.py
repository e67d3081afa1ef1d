"""Costs of networks: what they take besides their accuracy."""

from lightning_nas.cost.base import Cost

__all__ = ["Cost"]
