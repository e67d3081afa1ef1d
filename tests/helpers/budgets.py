"""A cost that is no sum over candidates, and all genotypes of a small space."""

from __future__ import annotations

from itertools import product

from lightning_nas import Cost, Genotype, SearchSpace, Skeleton


class Counted(Cost):
    """Convolutions of a genotype as milliseconds; no sum over candidates as far as anyone knows."""

    name = "latency_ms"

    def __call__(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> float:
        return float(sum("conv" in option for _, option in genotype))


def everything(space: SearchSpace) -> list[Genotype]:
    """All genotypes of a small space without conditions."""
    names = [decision.name for decision in space.decisions]
    options = product(*(decision.options for decision in space.decisions))
    return [space.genotype(dict(zip(names, chosen, strict=True))) for chosen in options]
