"""Optimizers and schedules of the papers, as plain settings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from lightning_nas.config import Configurable

Schedule = Literal["cosine", "restarts", "exponential", "constant"]


def parameters_of(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """The parameters that an optimizer steps, in its order; to walk through the modules for them takes milliseconds.

    Example:
        >>> parameters_of(Sgd().build([torch.zeros(1, requires_grad=True)]))
        [tensor([0.], requires_grad=True)]
    """
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _check(owner: object, name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{type(owner).__name__}({name}={value}): give a number of at least {least}.")


def _start_buffers(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Give parameters that are stepped for the first time a momentum of 0, which is the same step.

    Torch's fused step takes no mixture of old and new ones, and a sparse path has that.
    """
    for parameter in parameters_of(optimizer):
        if parameter.grad is not None and parameter not in optimizer.state:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


@dataclass(frozen=True)
class Sgd(Configurable):
    """Stochastic gradient descent of the weights and its schedule over epochs; the defaults are the DARTS search's.

    Args:
        lr: rate after the warm-up.
        momentum: 0 turns it off.
        weight_decay: L2 penalty of all weights.
        nesterov: Nesterov's momentum.
        schedule: "cosine" from `lr` to `lr_min`; "restarts", such cosines one after the other, of lengths of their own
            (Loshchilov & Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", ICLR 2017); "exponential"
            times `gamma` each epoch; "constant".
        lr_min: where a cosine ends.
        gamma: factor of the exponential schedule.
        warmup_epochs: epochs in which the rate grows linearly to `lr`.
        restart_epochs: length of the first of the "restarts"; 10 in ENAS.
        restart_factor: how many times longer each is than the one before; 2 in ENAS, 1 keeps the length.

    Raises:
        ValueError: a number out of range, an unknown schedule, or Nesterov's step without a momentum.

    Example:
        >>> [round(Sgd(lr=1.0, lr_min=0.0).factor(epoch, 4), 3) for epoch in range(4)]
        [1.0, 0.854, 0.5, 0.146]
        >>> enas = Sgd(lr=0.05, lr_min=0.0005, nesterov=True, schedule="restarts")
        >>> [epoch for epoch in range(150) if enas.factor(epoch, 150) == 1.0]
        [0, 10, 30, 70]
    """

    lr: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 3e-4
    nesterov: bool = False
    schedule: Schedule = "cosine"
    lr_min: float = 0.0
    gamma: float = 0.97
    warmup_epochs: int = 0
    restart_epochs: int = 10
    restart_factor: int = 2

    def __post_init__(self) -> None:
        for name in ("lr", "momentum", "weight_decay", "lr_min", "warmup_epochs"):
            _check(self, name, getattr(self, name), 0)
        for name in ("restart_epochs", "restart_factor"):
            _check(self, name, getattr(self, name), 1)
        if self.schedule not in get_args(Schedule):
            raise ValueError(f"Sgd(schedule={self.schedule!r}): give one of {', '.join(get_args(Schedule))}.")
        if self.nesterov and self.momentum == 0:
            raise ValueError("Sgd(nesterov=True, momentum=0): Nesterov's step needs a momentum: set one.")

    def build(self, parameters: Iterable[Tensor], fused: bool = False) -> torch.optim.SGD:
        """The optimizer for `parameters`.

        Args:
            parameters: what it steps.
            fused: step all of them in one pass, an eighth of the time for the 1,399 weights of a supernet, on the
                devices that have it. Lightning's own gradient clipping refuses such an optimizer.
        """
        parameters = list(parameters)
        fused = fused and all(p.device.type in ("cpu", "cuda") for p in parameters)
        optimizer = torch.optim.SGD(
            parameters,
            self.lr,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov,
            fused=fused or None,
        )
        if fused and self.momentum:
            optimizer.register_step_pre_hook(_start_buffers)
        return optimizer

    def factor(self, epoch: int, epochs: int) -> float:
        """The rate in `epoch` (from 0) of a run of `epochs`, in multiples of `lr`."""
        if epoch < self.warmup_epochs:
            return (epoch + 1) / (self.warmup_epochs + 1)
        epoch, epochs = epoch - self.warmup_epochs, max(epochs - self.warmup_epochs, 1)
        if self.schedule == "exponential":
            return self.gamma**epoch
        if self.schedule == "constant" or self.lr == 0.0:
            return 1.0
        if self.schedule == "restarts":
            epoch, epochs = self._since_restart(epoch)
        least = self.lr_min / self.lr
        return least + (1.0 - least) * (1.0 + math.cos(math.pi * min(epoch, epochs) / epochs)) / 2.0

    def _since_restart(self, epoch: int) -> tuple[int, int]:
        length = self.restart_epochs
        while epoch >= length:
            epoch, length = epoch - length, length * self.restart_factor
        return epoch, length

    def scheduler(self, optimizer: torch.optim.Optimizer, epochs: int) -> LambdaLR:
        """The schedule, to be stepped once an epoch."""
        return LambdaLR(optimizer, lambda epoch: self.factor(epoch, epochs))


@dataclass(frozen=True)
class Adam(Configurable):
    """Adam of the architecture parameters; the defaults are the DARTS search's.

    Args:
        lr: constant rate.
        betas: decay of the two moments.
        weight_decay: L2 penalty.
        eps: added to the root of the second moment; 1e-3 in ENAS, with `betas=(0.0, 0.999)`.

    Raises:
        ValueError: a number out of range.

    Example:
        >>> Adam(lr=0.0035, betas=(0.0, 0.999), weight_decay=0.0, eps=1e-3).build([torch.zeros(1)]).defaults["eps"]
        0.001
    """

    lr: float = 3e-4
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 1e-3
    eps: float = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        _check(self, "lr", self.lr, 0)
        _check(self, "weight_decay", self.weight_decay, 0)
        if len(self.betas) != 2 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"Adam(betas={self.betas}): give two numbers in [0, 1).")
        if not self.eps > 0:
            raise ValueError(f"Adam(eps={self.eps}): give a positive number.")

    def build(self, parameters: Iterable[Tensor]) -> torch.optim.Adam:
        """The optimizer for `parameters`."""
        return torch.optim.Adam(parameters, self.lr, betas=self.betas, eps=self.eps, weight_decay=self.weight_decay)
