"""Genotypes within limits: the smallest of a space, and the most probable one that fits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import torch
from torch import Tensor

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs.budget import Costing, number
from lightning_nas.functional.gradients import gradients
from lightning_nas.spaces.base import SupernetSpace

Extract = Callable[[Mapping[str, Tensor]], Genotype]
"""From how good each candidate on each edge is, (edges, candidates) for each group, to a genotype."""
_HIGHEST_PRICE, _HALVINGS, _FEW = 400.0, 40, 64


class NothingFitsError(RuntimeError):
    """No genotype keeps the limits; the message says by how much the smallest one misses them."""


def slopes(costing: Costing, weights: Mapping[str, float], at: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What each candidate adds to the weighted sum of some costs; (edges, candidates) for each group, float64.

    Where a cost has optional terms, it is what a candidate adds to the architecture `at`.
    """
    with torch.enable_grad(), torch.inference_mode(False):
        chances = {name: values.clone().detach().double().requires_grad_() for name, values in at.items()}
        total = torch.zeros((), dtype=torch.float64)
        for name, weight in weights.items():
            total = total + weight * costing.terms[name].expected(chances)
        return dict(zip(chances, gradients(total, list(chances.values())), strict=True))


def least(costing: Costing, weights: Mapping[str, float], extract: Extract | None = None) -> Genotype:
    """The genotype with the least weighted sum of some costs.

    The space extracts it, from numbers that are the higher the less a candidate costs. Without optional terms it is
    exactly the least; with some, what the best of a few steps from one architecture to the next comes to.
    """
    space = costing.space
    assert isinstance(space, SupernetSpace)
    extract = extract or space.discretize
    at = space.inclusion({name: torch.full(group.shape, 1.0 / group.shape[1]) for name, group in space.groups.items()})
    found: dict[Genotype, float] = {}
    while True:
        adds = slopes(costing, weights, at).items()
        low, high = min(float(values.min()) for _, values in adds), max(float(values.max()) for _, values in adds)
        genotype = extract({name: 1.0 - (values - low) / (2.0 * (high - low) or 1.0) for name, values in adds})
        if genotype in found:
            return min(found, key=lambda known: found[known])
        found[genotype] = sum(weight * costing.figure(name, genotype) for name, weight in weights.items())
        at = {name: path.values for name, path in space.path(genotype).items()}


def extremes(costing: Costing, name: str) -> tuple[float, float]:
    """The least and the most of a cost that networks of the space have."""
    small, large = (costing.figure(name, least(costing, {name: sign})) for sign in (1.0, -1.0))
    return small, large


def check_limits(costing: Costing) -> None:
    """Refuse limits that no genotype keeps, as far as that can be computed: where a cost is a sum over candidates.

    Raises:
        ValueError: says by how much the smallest genotype misses.
    """
    for name, limit in costing.limits.items():
        if name not in costing.terms:
            continue
        small = costing.figure(name, least(costing, {name: 1.0}))
        if small > limit:
            raise ValueError(
                f"Budget(max_{name}={number(limit)}): the smallest network of {type(costing.space).__name__} has "
                f"{name} {number(small)} with {costing.skeleton}, {number(small - limit)} "
                f"({(small - limit) / limit:.1%}) more: raise the limit, or give a smaller skeleton of the final "
                "network, Budget(skeleton=...)."
            )


def most_probable(
    costing: Costing, probabilities: Mapping[str, Tensor], found: Genotype, extract: Extract | None = None
) -> Genotype:
    """The genotype found, or where it breaks a limit the most probable one within the limits.

    Every candidate pays for what it costs: its probability is multiplied by exp(-price * cost), and the genotype is
    extracted anew. As the price rises, decisions change one after the other, those first that lose the least
    log-probability for the cost they save. The lowest price at which the genotype fits is taken (the Lagrangian
    relaxation of Everett, "Generalized Lagrange Multiplier Method", Operations Research 1963); then single decisions
    change for more probable options where there is room left. It is deterministic, and leaves alone what fits.

    Args:
        costing: limits whose costs are sums over the candidates.
        probabilities: (edges, candidates) for each group, on the CPU.
        found: what is extracted without limits.
        extract: the rule by which it was; None is the space's `discretize`.

    Raises:
        NothingFitsError: with the miss of the nearest one.
    """
    assert isinstance(costing.space, SupernetSpace)
    extract = extract or costing.space.discretize
    broken = set(costing.excess(found))
    genotype = found
    while over := set(costing.excess(genotype)):
        if genotype is not found and over <= broken:
            raise NothingFitsError(
                f"No genotype was found that keeps all limits: of the nearest one, {costing.refusal(genotype)}. Raise "
                "the limits, or give a smaller skeleton of the final network, Budget(skeleton=...)."
            )
        broken |= over
        genotype = _at_lowest_price(costing, probabilities, found, sorted(broken), extract)
    return genotype if genotype is found else _improved(costing, probabilities, genotype, found)


def _at_lowest_price(
    costing: Costing,
    probabilities: Mapping[str, Tensor],
    found: Genotype,
    names: Collection[str],
    extract: Extract,
) -> Genotype:
    """The genotype at the lowest price at which it keeps some limits; the smallest one if it does at none."""
    assert isinstance(costing.space, SupernetSpace)
    weights = {name: 1.0 / costing.limits[name] for name in names}
    at_found = {name: path.values for name, path in costing.space.path(found).items()}
    adds = slopes(costing, weights, at_found)
    widest = max(float(values.max() - values.min()) for values in adds.values()) or 1.0

    def at(price: float) -> Genotype:
        factors = {group: (-price * (values - values.min()) / widest).exp() for group, values in adds.items()}
        return extract({group: values.double() * factors[group] for group, values in probabilities.items()})

    def fits(genotype: Genotype) -> bool:
        return not set(costing.excess(genotype)) & set(names)

    low, high = 0.0, _HIGHEST_PRICE
    best = at(high)
    if not fits(best):
        return least(costing, weights, extract)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        genotype = at(middle)
        if fits(genotype):
            high, best = middle, genotype
        else:
            low = middle
    return best


def _improved(costing: Costing, probabilities: Mapping[str, Tensor], genotype: Genotype, found: Genotype) -> Genotype:
    """The genotype with single decisions changed, as long as a more probable one fits: prices leave room unused."""
    space = costing.space
    assert isinstance(space, SupernetSpace)
    likelihood = Likelihood(space, probabilities)
    best, value = genotype, likelihood(genotype)
    while True:
        others = {other: likelihood(other) for other in _neighbours(space, best, found)}
        better = sorted((other for other in others if others[other] > value), key=lambda other: -others[other])
        fitting = next((other for other in better if costing.fits(other)), None)
        if fitting is None:
            return best
        best, value = fitting, others[fitting]


def _neighbours(space: SupernetSpace, genotype: Genotype, found: Genotype) -> Iterator[Genotype]:
    """Genotypes that differ in one decision; of those with very many options, the option of `found` alone."""
    choices, wanted = genotype.as_mapping(), found.as_mapping()
    for decision in space.decisions:
        few = len(decision.options) <= _FEW
        for option in decision.options if few else [wanted.get(decision.name, "")]:
            if option == choices.get(decision.name):
                continue
            try:
                yield space.genotype(choices | {decision.name: option})
            except ValueError:  # the decision does not count, or brings others with it
                continue


class Likelihood:
    """How probable genotypes are under some probabilities, as a logarithm: of what is kept, and of what is left out."""

    def __init__(self, space: SupernetSpace, probabilities: Mapping[str, Tensor]) -> None:
        self.space, least = space, 1e-30
        self._kept, self._left = {}, {}
        for name, values in space.inclusion({n: v.double() for n, v in probabilities.items()}).items():
            self._kept[name] = values.clamp_min(least).log().tolist()
            self._left[name] = (1.0 - values.sum(-1)).clamp_min(least).log().tolist()

    def __call__(self, genotype: Genotype) -> float:
        return sum(
            self._left[name][row] if column is None else self._kept[name][row][column]
            for name, columns in self.space.selection(genotype).items()
            for row, column in enumerate(columns)
        )
