"""Autograd functions that keep less for the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor


class NotKept:
    """Makes autograd compute a tensor again, which is cheap to compute and large to keep.

    Args:
        tensor: no reference to it stays here.
        compute: gives it again; what this reads must not change until the backward pass.

    Example:
        >>> x = torch.rand(3, requires_grad=True)
        >>> twice = 2 * x
        >>> with NotKept(twice, lambda: 2 * x).hooks():
        ...     y = twice.square().sum()
        >>> torch.equal(torch.autograd.grad(y, x)[0], 8 * x)
        True
    """

    def __init__(self, tensor: Tensor, compute: Callable[[], Tensor]) -> None:
        self._place, self._shape = tensor.data_ptr(), tensor.shape
        self._compute = compute
        self._again: Tensor | None = None
        self._uses = self._left = 0

    def hooks(self) -> AbstractContextManager[Any]:
        """Within it, operations that read the tensor do not keep it. The tensor must be alive there."""
        return torch.autograd.graph.saved_tensors_hooks(self._pack, self._unpack)

    def _pack(self, tensor: Tensor) -> Tensor | None:
        if tensor.data_ptr() != self._place or tensor.shape != self._shape:
            return tensor
        self._uses += 1
        return None

    def _unpack(self, kept: Tensor | None) -> Tensor:
        """The tensor, computed once for all that read it in one backward pass."""
        if kept is not None:
            return kept
        if self._again is None:
            with torch.no_grad():
                self._again, self._left = self._compute(), self._uses
        found, self._left = self._again, self._left - 1
        if not self._left:
            self._again = None
        return found


class _WeightedSum(torch.autograd.Function):
    """The terms are kept for the backward pass only if the weights need a gradient; it can be differentiated again."""

    @staticmethod
    def forward(ctx: Any, weights_K: Tensor, *terms: Tensor) -> Tensor:
        needs_weights = ctx.needs_input_grad[0]
        ctx.save_for_backward(weights_K, *(terms if needs_weights else ()))
        total = terms[0] * weights_K[0]
        for term, weight in zip(terms[1:], weights_K.unbind()[1:], strict=True):
            total.addcmul_(term, weight)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (gradient,) = gradients
        weights_K, *terms = ctx.saved_tensors
        of_weights = [_dot(gradient, term).to(weights_K.dtype) for term in terms]
        wanted = ctx.needs_input_grad[1:]
        of_terms = [gradient * w if needed else None for w, needed in zip(weights_K.unbind(), wanted, strict=True)]
        return torch.stack(of_weights) if of_weights else None, *of_terms


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Sum of the products; in float32 at least."""
    flat = [x.permute(0, 2, 3, 1).reshape(-1) for x in (one, other)]
    half = one.dtype in (torch.float16, torch.bfloat16)
    return (flat[0] * flat[1]).sum(dtype=torch.float32) if half else torch.dot(*flat)


def weighted_sum(terms: Sequence[Tensor], weights_K: Tensor) -> Tensor:
    """Sum of the terms times their weights.

    Args:
        terms: K tensors (B, C, h, w) of one shape, best in channels_last.
        weights_K: (K,), of the terms' dtype.

    Example:
        >>> one, two = torch.ones(1, 2, 3, 3), torch.full((1, 2, 3, 3), 2.0)
        >>> weighted_sum([one, two], torch.tensor([3.0, 5.0])).unique().tolist()
        [13.0]
    """
    total: Tensor = _WeightedSum.apply(weights_K, *terms)
    return total
