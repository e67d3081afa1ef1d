"""`ExpectedCost`: what a relaxed architecture costs, as a term of its loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from lightning_nas.config import Configurable
from lightning_nas.cost.base import AdditiveCost
from lightning_nas.cost.terms import CostTerms
from lightning_nas.space import SupernetSpace

Mode = Literal["towards", "at_most"]


class ExpectedCost(Configurable):
    """Pulls the architecture of a differentiable search to a cost; the gradient is that of the expected cost.

    The loss of the architecture gets `weight * (cost / target - 1) ** 2`; with `"at_most"` what is below the target
    counts nothing. Its pull fades near the target, which an absolute value would cross back and forth.

    The expected cost is the sum over edges and candidates of how likely each is part of the extracted network, times
    what it costs (Cai et al., "ProxylessNAS", ICLR 2019; Wu et al., "FBNet", CVPR 2019). Probabilities are the softmax
    of the architecture parameters, of DARTS and of GDAS, whose samples have just these. It is that of the final
    network, `Budget(skeleton=...)`, if the budget has one, else that of the search.

    Args:
        cost: a sum over the candidates, such as `Parameters()`.
        target: in its unit.
        weight: of the term in the loss, next to a cross-entropy: 10 makes a tenth off the target count 0.1.
        mode: "towards" the target from both sides, or "at_most" as much.
        straight_through: compare the cost of the network that would be extracted now with the target, with the
            gradient of the expected cost. A soft architecture may have the right cost in expectation and be far from it
            once each edge keeps its strongest candidate; False compares the expectation itself.

    Raises:
        ValueError: a cost that is no sum, or a number or mode out of range.
    """

    def __init__(
        self,
        cost: AdditiveCost,
        target: float,
        weight: float = 10.0,
        mode: Mode = "towards",
        straight_through: bool = True,
    ) -> None:
        if not isinstance(cost, AdditiveCost):
            raise ValueError(
                f"ExpectedCost(cost={type(cost).__name__}): only a cost that is a sum over the candidates has an "
                "expected one: give an AdditiveCost, such as Parameters(), Macs() or TableLatency(...)."
            )
        for name, value in (("target", target), ("weight", weight)):
            if not value > 0:
                raise ValueError(f"ExpectedCost({name}={value}): give a positive number.")
        if mode not in get_args(Mode):
            raise ValueError(f"ExpectedCost(mode={mode!r}): give one of {', '.join(get_args(Mode))}.")
        self.cost, self.target, self.weight = cost, target, weight
        self.mode, self.straight_through = mode, straight_through

    def penalty(self, expected: Tensor, extracted: float | None) -> Tensor:
        """The term of the loss, a scalar.

        Args:
            expected: expected cost as a share of the target, a scalar with gradient.
            extracted: cost of the extracted network as a share of the target; None compares the expectation.
        """
        over = expected - 1.0
        if extracted is not None:
            over = over + (extracted - expected).detach()
        return self.weight * (over.clamp_min(0.0) if self.mode == "at_most" else over).square()


class Expectation:
    """The expected cost of the network that is extracted from a relaxed architecture.

    Args:
        space: gives how likely each candidate is part of it.
        terms: of the cost.
    """

    def __init__(self, space: SupernetSpace, terms: CostTerms) -> None:
        self.space, self.terms = space, terms

    def __call__(self, probabilities: Mapping[str, Tensor]) -> Tensor:
        """A scalar with the gradient of the probabilities, (edges, candidates) for each group."""
        device = next(iter(probabilities.values())).device
        if any(values.device != device for values in self.terms.candidates.values()):
            self.terms = _moved(self.terms, device)
        return self.terms.expected(self.space.inclusion(probabilities))


def _moved(terms: CostTerms, device: torch.device) -> CostTerms:
    """The terms on a device, so that they are not copied to it in every step."""
    return CostTerms(
        terms.fixed,
        {name: values.to(device) for name, values in terms.candidates.items()},
        tuple(
            replace(term, places={name: values.to(device) for name, values in term.places.items()})
            for term in terms.optional
        ),
    )
