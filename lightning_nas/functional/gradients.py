"""Gradients of some tensors alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def gradients(loss: Tensor, inputs: Sequence[Tensor]) -> list[Tensor]:
    """The gradients of a scalar; zeros for inputs that it does not depend on.

    Example:
        >>> x, y = torch.ones(2, requires_grad=True), torch.ones(1, requires_grad=True)
        >>> gradients((3 * x).sum(), [x, y])
        [tensor([3., 3.]), tensor([0.])]
    """
    if not loss.requires_grad:
        return [torch.zeros_like(x) for x in inputs]
    found = torch.autograd.grad(loss, list(inputs), allow_unused=True)
    return [torch.zeros_like(x) if gradient is None else gradient for gradient, x in zip(found, inputs, strict=True)]


@contextmanager
def frozen(parameters: Iterable[Tensor]) -> Iterator[None]:
    """Within it, what is computed keeps nothing for the gradients of the parameters.

    A gradient of the architecture parameters alone then costs less memory and time than one that could still be asked
    for the weights. Take the gradient inside too: cells that are computed again must find what they found before.

    Args:
        parameters: leaves; those that require no gradient to begin with stay as they are.

    Example:
        >>> weight = torch.ones(2, requires_grad=True)
        >>> with frozen([weight]):
        ...     (2 * weight).requires_grad
        False
        >>> (2 * weight).requires_grad
        True
    """
    thawed = [parameter for parameter in parameters if parameter.requires_grad]
    try:
        for parameter in thawed:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in thawed:
            parameter.requires_grad_(True)
