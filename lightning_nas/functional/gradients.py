"""Gradients of some tensors alone, and the second-order gradient of DARTS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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


Loss = Callable[[], Tensor]
"""Computes a scalar loss with the weights and architecture parameters as they are at the call."""
Reduce = Callable[[list[Tensor]], list[Tensor]]
"""Averages tensors over processes; each process may see other data."""


@dataclass(frozen=True)
class SgdStep:
    """The weight step that the gradient looks ahead through: SGD as torch has it, without clipping.

    Args:
        lr: the rate of the virtual step, the current rate of the weights.
        momentum: factor of the buffers.
        weight_decay: factor of the weights.
        nesterov: whether the step is Nesterov's.
        buffers: momentum buffers in the order of the weights, None where there is none yet.
    """

    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    buffers: Sequence[Tensor | None] = ()

    @property
    def slope(self) -> float:
        """How far the step moves a weight for each unit of its gradient."""
        return self.lr * (1.0 + self.momentum) if self.nesterov else self.lr

    def direction(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> Tensor:
        """What the step subtracts from the weights, divided by the rate, (P,)."""
        step_P = _joined(gradients).add_(_joined(weights), alpha=self.weight_decay)
        if self.momentum == 0.0:
            return step_P
        fast_P = step_P
        if any(buffer is not None for buffer in self.buffers):
            pairs = zip(weights, self.buffers, strict=True)
            buffers = [torch.zeros_like(weight) if buffer is None else buffer for weight, buffer in pairs]
            fast_P = torch.add(step_P, _joined(buffers), alpha=self.momentum)
        return torch.add(step_P, fast_P, alpha=self.momentum) if self.nesterov else fast_P


def unrolled_gradient(
    train_loss: Loss,
    val_loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    step: SgdStep,
    epsilon: float = 0.01,
    reduce: Reduce = list,
) -> tuple[Tensor, list[Tensor]]:
    """Gradient of L_val(w - lr * direction(w, alpha), alpha) with respect to the alphas.

    The correction lr * d2 L_train / d alpha d w * v, with v = dL_val/dw', is a central difference of step
    epsilon / ||v|| (equation 8); with Nesterov's momentum m, lr * (1 + m) stands for lr. The weights are moved in place
    and put back bit for bit; there is no second model.

    Args:
        train_loss, val_loss: the two losses, each on its batch.
        weights: leaves that require gradient.
        alphas: architecture parameters, leaves that require gradient.
        step: the virtual weight step.
        epsilon: size of the difference.
        reduce: averages over processes.

    Returns:
        The validation loss at the looked-ahead weights, detached, and the gradients in the order of the alphas.
    """
    weights, alphas = list(weights), list(alphas)
    origin_P = _joined(weights)

    def at(place_P: Tensor) -> list[Tensor]:
        _move(weights, place_P)
        with frozen(weights):
            return gradients(train_loss(), alphas)

    try:
        with frozen(alphas):
            step_P = step.direction(weights, reduce(gradients(train_loss(), weights)))
        _move(weights, origin_P.sub(step_P, alpha=step.lr))
        loss = val_loss()
        looked_ahead = reduce(gradients(loss, [*alphas, *weights]))
        direct, vector_P = looked_ahead[: len(alphas)], _joined(looked_ahead[len(alphas) :])
        del looked_ahead
        radius = epsilon / torch.linalg.vector_norm(vector_P).clamp_min(torch.finfo(vector_P.dtype).tiny)
        difference_P = vector_P * radius
        plus, minus = at(origin_P + difference_P), at(origin_P - difference_P)
    finally:
        _move(weights, origin_P)
    difference = reduce(list(torch._foreach_sub(plus, minus)))
    factor = step.slope / (2 * radius)
    return loss.detach(), [d - factor * c for d, c in zip(direct, difference, strict=True)]


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    """All values, (P,)."""
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


@torch.no_grad()
def _move(weights: list[Tensor], place_P: Tensor) -> None:
    """Give the weights these values."""
    parts = torch.split(place_P, [weight.numel() for weight in weights])
    torch._foreach_copy_(weights, [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)])
