"""One search step of DARTS or GDAS: this package's execution, or its own edge-by-edge reference.

The reference is in the layout of the authors' code: NCHW, pools and norms for each edge, and all gradients (weights and
architecture parameters) in both steps. The package runs fan-outs in channels_last and takes in each step the gradients
that the step needs, with Python's search for cycles put off. Both compute the same function; GDAS runs the same
recorded paths on both sides.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import nullcontext

import torch
from apart import Mode
from torch import Tensor, nn

from lightning_nas import CellSkeleton, EdgeWeights, GumbelHard, Sgd, Softmax
from lightning_nas.architecture.edges import Architecture
from lightning_nas.architecture.relaxation import Relaxation
from lightning_nas.execution import Execution
from lightning_nas.functional.gradients import SgdStep, frozen, unrolled_gradient
from lightning_nas.runtime.memory import defer_garbage_collection
from lightning_nas.spaces import DartsSpace


class SearchSide:
    """One supernet with its parameters, and the steps on a fixed batch."""

    def __init__(self, mode: Mode, sizes: argparse.Namespace, relaxation: Relaxation, device: torch.device) -> None:
        torch.manual_seed(sizes.seed)
        self.space = DartsSpace(nodes=getattr(sizes, "nodes", 4))
        self.split = mode == "fan_out"
        self.step_context = defer_garbage_collection if self.split else nullcontext
        self.execution = Execution(mode, checkpoint_cells=self.split and sizes.checkpoint_cells)
        skeleton = CellSkeleton(cells=sizes.cells, channels=sizes.channels)
        self.network = self.space.build(None, skeleton, self.execution).to(device)
        self.weights = list(self.network.parameters())
        self.alphas = {
            name: {"alpha": (1e-3 * torch.randn(group.shape)).to(device).requires_grad_()}
            for name, group in self.space.groups.items()
        }
        self.relaxation = relaxation
        shape = (sizes.batch, 3, sizes.size, sizes.size)
        self.images = [torch.randn(shape, device=device) for _ in range(2)]
        self.targets = [torch.randint(10, (sizes.batch,), device=device) for _ in range(2)]
        self.optimizer = Sgd(0.025).build(self.weights, fused=self.split)
        self.draw = 0

    @property
    def table(self) -> list[Tensor]:
        return [group["alpha"] for group in self.alphas.values()]

    def loss(self, half: int, detach: bool = False) -> Tensor:
        architecture: Architecture = self.relaxation(self.alphas, torch.Generator().manual_seed(self.draw))
        if detach:
            architecture = {
                name: EdgeWeights(w.values.detach(), w.active, w.inactive_gradient) for name, w in architecture.items()
            }
        return nn.functional.cross_entropy(self.network(self.images[half], architecture).logits, self.targets[half])

    def first_order(self) -> None:
        with self.step_context():
            if self.split:
                with frozen(self.weights):
                    torch.autograd.grad(self.loss(1), self.table, allow_unused=True)
            else:
                torch.autograd.grad(self.loss(1), [*self.weights, *self.table], allow_unused=True)
            self.draw += 1
            self._weight_step()

    def second_order(self) -> None:
        with self.step_context():
            if self.split:
                buffers = [self.optimizer.state[w].get("momentum_buffer") for w in self.weights]
                step = SgdStep(0.025, 0.9, 3e-4, buffers=buffers)
                unrolled_gradient(lambda: self.loss(0), lambda: self.loss(1), self.weights, self.table, step)
            else:
                self._authors_second_order()
            self._weight_step()

    def _authors_second_order(self) -> None:
        """As the authors' code: a second model takes the looked-ahead weights."""
        theta = [w.detach().clone() for w in self.weights]
        gradients = torch.autograd.grad(self.loss(0), self.weights)
        ahead = self.space.build(None, self.network.skeleton, self.execution).to(self.images[0].device)
        with torch.no_grad():
            for new, w, g in zip(ahead.parameters(), theta, gradients, strict=True):
                new.copy_(w - 0.025 * (g + 3e-4 * w))
        architecture = self.relaxation(self.alphas, torch.Generator().manual_seed(self.draw))
        loss = nn.functional.cross_entropy(ahead(self.images[1], architecture).logits, self.targets[1])
        vector = torch.autograd.grad(loss, [*ahead.parameters(), *self.table])[: len(self.weights)]
        radius = 0.01 / torch.cat([v.reshape(-1) for v in vector]).norm()
        for sign in (1.0, -1.0):
            with torch.no_grad():
                for w, origin, v in zip(self.weights, theta, vector, strict=True):
                    w.copy_(origin + sign * radius * v)
            torch.autograd.grad(self.loss(0), self.table)
        with torch.no_grad():
            for w, origin in zip(self.weights, theta, strict=True):
                w.copy_(origin)

    def _weight_step(self) -> None:
        loss = self.loss(0, detach=self.split)
        if self.split:
            found = torch.autograd.grad(loss, self.weights, allow_unused=True)
        else:
            found = torch.autograd.grad(loss, [*self.weights, *self.table], allow_unused=True)[: len(self.weights)]
        for weight, gradient in zip(self.weights, found, strict=True):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.optimizer.step()
        self.draw += 1


STEPS: dict[str, tuple[Callable[[], Relaxation], str]] = {
    "darts first order": (Softmax, "first_order"),
    "darts second order": (Softmax, "second_order"),
    "gdas": (lambda: GumbelHard(1.0), "first_order"),
}
"""What relaxes the architecture, and the method that takes the step."""


def search_step(name: str, mode: Mode, sizes: argparse.Namespace, device: torch.device) -> Callable[[], object]:
    """A step of `STEPS` on one side."""
    relaxation, method = STEPS[name]
    step: Callable[[], object] = getattr(SearchSide(mode, sizes, relaxation(), device), method)
    return step
