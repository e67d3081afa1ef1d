"""The exact architecture gradient of second-order DARTS (Liu et al., ICLR 2019, section 2.3), by double backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Loss = Callable[[list[Tensor], list[Tensor], Any], Tensor]  # weights, alphas, batch


def unrolled_gradient(
    loss: Loss,
    weights: Sequence[Tensor],
    alphas: Sequence[Tensor],
    train: Any,
    val: Any,
    *,
    lr: float,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    buffers: Sequence[Tensor] | None = None,
) -> tuple[list[Tensor], list[Tensor]]:
    """The total gradient d L_val(w'(alpha), alpha) / d alpha, and its first-order part, in which w' is held fixed.

    w' = w - lr (momentum * buffer + d L_train(w, alpha) / d w + weight_decay * w). The buffers, zero if not given, are
    those of the weights' optimizer and do not depend on alpha. The correction term is the total minus the first part.
    """
    w = [weight.detach().requires_grad_() for weight in weights]
    a = [alpha.detach().requires_grad_() for alpha in alphas]
    moments = [torch.zeros_like(weight) for weight in w] if buffers is None else [b.detach() for b in buffers]
    gradients = torch.autograd.grad(loss(w, a, train), w, create_graph=True, materialize_grads=True)
    stepped = [
        weight - lr * (momentum * moment + gradient + weight_decay * weight)
        for weight, moment, gradient in zip(w, moments, gradients, strict=True)
    ]
    total = torch.autograd.grad(loss(stepped, a, val), a, materialize_grads=True)
    fixed = [weight.detach() for weight in stepped]
    return list(total), list(torch.autograd.grad(loss(fixed, a, val), a, materialize_grads=True))
