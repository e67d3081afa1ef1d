"""What every reference network is written with: named tensors, and the terms that a node sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

Edge = tuple[int, int]  # node, source


@dataclass(frozen=True)
class Weights:
    """A mapping of named tensors, seen from one place in the network.

    A norm without weight and bias is affine-free; a convolution without bias has none. In training mode a norm uses
    the statistics of the batch, otherwise the running ones.
    """

    tensors: Mapping[str, Tensor]
    training: bool = True
    prefix: str = ""

    def at(self, name: str) -> Weights:
        return replace(self, prefix=f"{self.prefix}{name}.")

    def get(self, name: str) -> Tensor | None:
        return self.tensors.get(self.prefix + name)

    def conv(self, name: str, x: Tensor, stride: int | Edge = 1, padding: int | Edge = 0, **options: int) -> Tensor:
        kernel = self.tensors[f"{self.prefix}{name}.weight"]
        return F.conv2d(x, kernel, self.get(f"{name}.bias"), stride=stride, padding=padding, **options)

    def norm(self, name: str, x: Tensor) -> Tensor:
        weight, bias = self.get(f"{name}.weight"), self.get(f"{name}.bias")
        if self.training:
            return F.batch_norm(x, None, None, weight, bias, training=True)
        mean, variance = (self.tensors[f"{self.prefix}{name}.running_{moment}"] for moment in ("mean", "var"))
        return F.batch_norm(x, mean, variance, weight, bias, training=False)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return F.linear(x, self.tensors[f"{self.prefix}{name}.weight"], self.get(f"{name}.bias"))


class Term(NamedTuple):
    """One summand of a node: weight * candidate(state of source); the weight alone if there is no candidate."""

    node: int
    source: int
    candidate: str | None
    weight: Tensor | None = None  # None: 1


def mixture(edges: Sequence[Edge], candidates: Sequence[str], weights: Tensor) -> list[Term]:
    """Every candidate on every edge, with the weights (edges, candidates) of a continuous relaxation."""
    return [Term(*edge, name, weights[i, k]) for i, edge in enumerate(edges) for k, name in enumerate(candidates)]


def node_value(terms: Sequence[Term], node: int, run: Callable[[Edge, str], Tensor]) -> Tensor:
    """The sum of the node's terms, where `run(edge, candidate)` is the candidate's output."""
    values = []
    for term in (term for term in terms if term.node == node):
        if term.candidate is None:
            assert term.weight is not None, "a term without a candidate is its weight"
            values.append(term.weight)
            continue
        value = run((term.node, term.source), term.candidate)
        values.append(value if term.weight is None else term.weight * value)
    return sum(values[1:], start=values[0])
