"""The second-order architecture gradient of DARTS by finite differences, in place.

Source: Liu et al., "DARTS: Differentiable Architecture Search", ICLR 2019, equations 6 to 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_nas.functional.gradients import frozen, gradients

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

    def direction(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """What the step subtracts from the weights, divided by the rate."""
        step = torch._foreach_add(list(gradients), list(weights), alpha=self.weight_decay)
        if self.momentum == 0.0:
            return list(step)
        buffers = self.buffers or [None] * len(step)
        fast = [
            gradient if buffer is None else torch.add(gradient, buffer, alpha=self.momentum)
            for gradient, buffer in zip(step, buffers, strict=True)
        ]
        return list(torch._foreach_add(step, fast, alpha=self.momentum)) if self.nesterov else fast


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
    saved = [weight.detach().clone() for weight in weights]
    try:
        step_of = reduce(gradients(train_loss(), weights))
        with torch.no_grad():
            torch._foreach_add_(weights, step.direction(weights, step_of), alpha=-step.lr)
        loss = val_loss()
        looked_ahead = reduce(gradients(loss, [*alphas, *weights]))
        direct, vector = looked_ahead[: len(alphas)], looked_ahead[len(alphas) :]
        radius = epsilon / _norm(vector)
        plus = _gradients_at(train_loss, weights, saved, vector, radius, alphas)
        minus = _gradients_at(train_loss, weights, saved, vector, -radius, alphas)
    finally:
        with torch.no_grad():
            torch._foreach_copy_(weights, saved)
    difference = reduce(list(torch._foreach_sub(plus, minus)))
    factor = step.slope / (2 * radius)
    return loss.detach(), [d - factor * c for d, c in zip(direct, difference, strict=True)]


def _gradients_at(
    loss: Loss,
    weights: list[Tensor],
    origin: list[Tensor],
    direction: list[Tensor],
    distance: Tensor,
    alphas: list[Tensor],
) -> list[Tensor]:
    with torch.no_grad():
        torch._foreach_copy_(weights, origin)
        torch._foreach_add_(weights, torch._foreach_mul(direction, distance))
    with frozen(weights):
        return gradients(loss(), alphas)


def _norm(tensors: list[Tensor]) -> Tensor:
    norms = torch.stack(torch._foreach_norm(tensors))
    return torch.linalg.vector_norm(norms).clamp_min(torch.finfo(norms.dtype).tiny)
