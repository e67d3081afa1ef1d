"""The NAS-Bench-201 network (Dong & Yang, ICLR 2020, arXiv:2001.00326, and the authors' public code).

Three stages of equal cells, a residual block with stride 2 between them. Node 0 is the cell's input, node 3 its output.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import Edge, Term, Weights, node_value

EDGES: tuple[Edge, ...] = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
CANDIDATES = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


def chosen(text: str) -> list[Term]:
    """The terms of a cell in the published text format: |op~0|+|op~0|op~1|+|op~0|op~1|op~2|."""
    return [
        Term(node, int(source), name)
        for node, inputs in enumerate(text.split("+"), start=1)
        for name, source in (item.split("~") for item in inputs.strip("|").split("|"))
    ]


def nasbench201_forward(
    tensors: Mapping[str, Tensor], x: Tensor, terms: Sequence[Term], cells: int = 5, *, training: bool = True
) -> Tensor:
    """Logits of a network with so many cells a stage."""
    w = Weights(tensors, training)
    x = w.norm("stem.1", w.conv("stem.0", x, padding=1))
    for i in range(3 * cells + 2):
        place = w.at(f"cells.{i}")
        x = _residual_block(place, x) if i % (cells + 1) == cells else _cell(place, x, terms)
    x = F.relu(w.norm("last_norm", x))
    return w.linear("classifier", x.mean(dim=(2, 3)))


def candidate(w: Weights, name: str, x: Tensor) -> Tensor:
    """The output of one candidate operation; all keep the shape."""
    if name == "none":
        return torch.zeros_like(x)
    if name == "skip_connect":
        return x
    if name == "avg_pool_3x3":
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
    return _conv(w, x, padding=int(name[-1]) // 2)


def _conv(w: Weights, x: Tensor, stride: int = 1, padding: int = 1) -> Tensor:
    return w.norm("norm", w.conv("conv", F.relu(x), stride, padding))


def _cell(w: Weights, x: Tensor, terms: Sequence[Term]) -> Tensor:
    states = [x]

    def run(edge: Edge, name: str) -> Tensor:
        node, source = edge
        return candidate(w.at(f"edges.{node}_{source}.{name}"), name, states[source])

    for node in range(1, 4):
        states.append(node_value(terms, node, run))
    return states[3]


def _residual_block(w: Weights, x: Tensor) -> Tensor:
    shortcut = w.conv("downsample", F.avg_pool2d(x, 2))
    return shortcut + _conv(w.at("conv_b"), _conv(w.at("conv_a"), x, stride=2))
