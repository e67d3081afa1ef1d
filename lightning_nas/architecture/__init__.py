"""Architectures as values: decisions, genotypes, edges and their weights, relaxations."""

from lightning_nas.architecture.decisions import Anchors, Condition, Decision
from lightning_nas.architecture.edges import Architecture, Edge, EdgeGroup, EdgeWeights, OptionalPart
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.architecture.relaxation import Relaxation, Softmax

__all__ = [
    "Anchors",
    "Architecture",
    "Condition",
    "Decision",
    "Edge",
    "EdgeGroup",
    "EdgeWeights",
    "Genotype",
    "OptionalPart",
    "Relaxation",
    "Softmax",
]
