"""The hard Gumbel sample of GDAS (Dong & Yang, CVPR 2019, arXiv:1910.04465, and the authors' public code)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .layers import Edge, Term


def hard_sample(alpha: Tensor, noise: Tensor, tau: float) -> Tensor:
    """One-hot weights (edges, candidates) with the gradient of the tempered softmax (straight-through)."""
    soft = torch.softmax((torch.log_softmax(alpha, dim=-1) + noise) / tau, dim=-1)
    one_hot = torch.zeros_like(soft)
    one_hot[torch.arange(len(soft)), soft.argmax(dim=-1)] = 1.0
    return one_hot - soft.detach() + soft


def drawn(edges: Sequence[Edge], candidates: Sequence[str], weights: Tensor, *, add_undrawn: bool) -> list[Term]:
    """The terms of a hard sample: only the drawn candidates run.

    With `add_undrawn` the other candidates' weights, zero in value, are added to the edge's output, so that they too
    receive a gradient: the authors' NAS-Bench-201 cell does so, their cell for the DARTS space does not.
    """
    terms = []
    for i, edge in enumerate(edges):
        winner = int(weights[i].detach().argmax())
        terms.append(Term(*edge, candidates[winner], weights[i, winner]))
        if add_undrawn:
            terms += [Term(*edge, None, weights[i, k]) for k in range(len(candidates)) if k != winner]
    return terms
