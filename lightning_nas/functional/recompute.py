"""Tensors that autograd does not keep, but computes once more when it needs them."""

from __future__ import annotations

from collections.abc import Callable
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
