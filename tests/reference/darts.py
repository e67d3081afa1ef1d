"""The DARTS network (Liu et al., ICLR 2019, arXiv:1806.09055, and the authors' public code): supernet and child.

A node takes the sum of its terms (`layers.Term`): all candidates on all edges in the supernet (`mixture`), two edges
with one candidate each in a child (`chosen`). Nodes are numbered 2 to 5, the cell's two inputs are 0 and 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import Edge, Term, Weights, node_value

EDGES: tuple[Edge, ...] = tuple((node, source) for node in range(2, 6) for source in range(node))
CANDIDATES = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)


def chosen(genes: Sequence[tuple[str, int]]) -> list[Term]:
    """The terms of a published cell, its text being [(candidate, source), ...] with two entries a node."""
    return [Term(2 + position // 2, source, name) for position, (name, source) in enumerate(genes)]


def darts_forward(
    tensors: Mapping[str, Tensor],
    x: Tensor,
    normal: Sequence[Term],
    reduce: Sequence[Term] | None,
    cells: int,
    *,
    stem: str = "cifar",
    pool_norm: bool = False,
    auxiliary: bool = False,
    training: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Logits, and those of the auxiliary head.

    `reduce=None` stands for the fixed reduction cell of GDAS. `pool_norm` is true in the authors' supernet and false in
    their final network. Drop path is not part of it.
    """
    w = Weights(tensors, training)
    before, last, after_reduction = _stem(w, x, stem)
    auxiliary_logits = None
    for i in range(cells):
        cell, is_reduction = w.at(f"cells.{i}"), i in (cells // 3, 2 * cells // 3)
        fit = _reduce_by_half if after_reduction else _mix
        s0 = fit(cell.at("preprocess0"), before)
        s1 = _mix(cell.at("preprocess1"), last)
        if is_reduction and reduce is None:
            out = _fixed_reduction(cell, s0, s1)
        else:
            terms = reduce if is_reduction and reduce is not None else normal
            out = _cell(cell, s0, s1, terms, is_reduction, pool_norm)
        before, last, after_reduction = last, out, is_reduction
        if auxiliary and i == 2 * cells // 3:
            auxiliary_logits = _auxiliary(w.at("auxiliary_head"), out, stem)
    return w.linear("classifier", last.mean(dim=(2, 3))), auxiliary_logits


def candidate(w: Weights, name: str, x: Tensor, stride: int, pool_norm: bool) -> Tensor:
    """The output of one candidate operation."""
    if name == "none":
        return torch.zeros_like(x[:, :, ::stride, ::stride])
    if name == "skip_connect":
        return x if stride == 1 else _reduce_by_half(w, x)
    if name == "max_pool_3x3":
        x = F.max_pool2d(x, 3, stride, padding=1)
        return w.norm("norm", x) if pool_norm else x
    if name == "avg_pool_3x3":
        x = F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)
        return w.norm("norm", x) if pool_norm else x
    size = int(name[-1])
    if name.startswith("dil_conv"):
        return _separable(w, "", x, stride, padding=size - 1, dilation=2)
    x = _separable(w, "_1", x, stride, padding=size // 2, dilation=1)
    return _separable(w, "_2", x, 1, padding=size // 2, dilation=1)


def _separable(w: Weights, suffix: str, x: Tensor, stride: int, padding: int, dilation: int) -> Tensor:
    x = w.conv(f"depthwise{suffix}", F.relu(x), stride, padding, dilation=dilation, groups=x.shape[1])
    return w.norm(f"norm{suffix}", w.conv(f"pointwise{suffix}", x))


def _mix(w: Weights, x: Tensor) -> Tensor:
    return w.norm("norm", w.conv("conv", F.relu(x)))


def _reduce_by_half(w: Weights, x: Tensor) -> Tensor:
    """Half of the channels from the even pixels, half from the odd ones."""
    x = F.relu(x)
    halves = w.conv("conv_1", x, stride=2), w.conv("conv_2", x[:, :, 1:, 1:], stride=2)
    return w.norm("norm", torch.cat(halves, dim=1))


def _cell(w: Weights, s0: Tensor, s1: Tensor, terms: Sequence[Term], reduction: bool, pool_norm: bool) -> Tensor:
    states = [s0, s1]

    def run(edge: Edge, name: str) -> Tensor:
        node, source = edge
        stride = 2 if reduction and source < 2 else 1
        return candidate(w.at(f"edges.{node}_{source}.{name}"), name, states[source], stride, pool_norm)

    for node in range(2, 6):
        states.append(node_value(terms, node, run))
    return torch.cat(states[2:], dim=1)


def _fixed_reduction(w: Weights, s0: Tensor, s1: Tensor) -> Tensor:
    """The reduction cell of GDAS's variant: a factorised 3x3 convolution and a max pooling of each input."""
    outputs = []
    for i, x in enumerate((s0, s1)):
        b = w.at(f"branches.{i}")
        x = b.conv("conv_1", F.relu(x), stride=(1, 2), padding=(0, 1), groups=8)
        x = b.norm("norm_1", b.conv("conv_2", x, stride=(2, 1), padding=(1, 0), groups=8))
        outputs.append(b.norm("norm_2", b.conv("pointwise", F.relu(x))))
    for i, x in enumerate((s0, s1)):
        outputs.append(w.at(f"pools.{i}").norm("norm", F.max_pool2d(x, 3, stride=2, padding=1)))
    return torch.cat(outputs, dim=1)


def _stem(w: Weights, x: Tensor, kind: str) -> tuple[Tensor, Tensor, bool]:
    """The inputs of the first cell, and whether the first has twice the second's size."""
    if kind == "cifar":
        x = w.norm("stem.1", w.conv("stem.0", x, padding=1))
        return x, x, False
    x = F.relu(w.norm("stem0.1", w.conv("stem0.0", x, stride=2, padding=1)))
    s0 = w.norm("stem0.4", w.conv("stem0.3", x, stride=2, padding=1))
    s1 = w.norm("stem1.2", w.conv("stem1.1", F.relu(s0), stride=2, padding=1))
    return s0, s1, True


def _auxiliary(w: Weights, x: Tensor, kind: str) -> Tensor:
    """The CIFAR head expects 8x8 features, the ImageNet head 14x14; the latter has no second norm."""
    x = F.avg_pool2d(F.relu(x), 5, stride=3 if kind == "cifar" else 2)
    x = w.conv("conv_2", F.relu(w.norm("norm_1", w.conv("conv_1", x))))
    x = w.norm("norm_2", x) if kind == "cifar" else x
    return w.linear("classifier", F.relu(x).flatten(1))
