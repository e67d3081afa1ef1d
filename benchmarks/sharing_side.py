"""One step of a search with shared weights: this package's execution, or its own edge-by-edge reference.

The reference is in the layout of the authors' code: NCHW, one edge after the other. Both sides run the same recorded
paths on the same images. A weight step is forward, backward, clipping and SGD on one path; a controller step is the
accuracy of one path on one batch without gradients, and every tenth step the controller learns from ten of them.
The draws themselves are the same code on both sides and are timed with the controller step.
"""

from __future__ import annotations

import argparse

import torch
from apart import Mode
from torch import nn

from lightning_nas import CellSkeleton, Classification, EnasSearch, Skeleton, StagedSkeleton, SupernetSpace, Trial
from lightning_nas.evaluators.path_score import Path as SupernetPath
from lightning_nas.evaluators.path_score import evaluating, score_path
from lightning_nas.execution import Execution
from lightning_nas.functional.gradients import gradients
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import DartsSpace, NasBench201Space

SPACES: dict[str, tuple[SupernetSpace, Skeleton]] = {
    "nasbench201": (NasBench201Space(), StagedSkeleton(channels=16, cells_per_stage=5)),
    "darts": (DartsSpace(), CellSkeleton(channels=16, cells=8)),
}
ROUND = 10
"""Controller steps of which one trains the controller."""


class SharingSide:
    """One supernet and its controller, and the steps on fixed batches."""

    def __init__(self, mode: Mode, name: str, sizes: argparse.Namespace, device: torch.device) -> None:
        torch.manual_seed(sizes.seed)
        self.space, skeleton = SPACES[name]
        self.search = EnasSearch(self.space, skeleton, execution=Execution(mode)).to(device)
        self.network, self.controller = self.search.supernet, self.search.sampler
        self.weights = list(self.network.parameters())
        self.images = torch.randn(sizes.batch, 3, 32, 32, device=device)
        self.targets = torch.randint(10, (sizes.batch,), device=device)
        self.sgd = torch.optim.SGD(self.weights, 0.05, momentum=0.9, nesterov=True, weight_decay=2e-4)
        self.adam = self.controller.optimizer.build(self.controller.parameters())
        self.paths = [self.space.sample(generator(sizes.seed, "path", index)) for index in range(sizes.paths)]
        self.step, self.task = 0, Classification()

    def weight_step(self) -> None:
        """One path, one step of the weights."""
        path = self.space.path(self.paths[self.step % len(self.paths)])
        self.step += 1
        loss = nn.functional.cross_entropy(self.network(self.images, path).logits, self.targets)
        found = torch.autograd.grad(loss, self.weights, allow_unused=True)
        for weight, gradient in zip(self.weights, found, strict=True):
            weight.grad = gradient
        nn.utils.clip_grad_norm_(self.weights, 5.0)
        self.sgd.step()

    def controller_round(self) -> None:
        """Ten paths are scored, and the controller learns from them."""
        trials = []
        with evaluating(self.network, "batch"):
            proposals = self.controller.ask(ROUND, generator=generator(0, "ask", self.step))
            for index, proposal in enumerate(proposals):
                genotype = self.paths[(self.step + index) % len(self.paths)]
                path = SupernetPath(self.network, self.space.path(genotype))
                batch = [(self.images, self.targets)]
                score = score_path(path, batch, self.task, self.network.skeleton, self.task.inputs)
                trials.append(Trial(index, proposal, 0, "complete", float(score), 0.0))
        self.step += ROUND
        for loss in self.controller.losses(trials):
            parameters = list(self.controller.parameters())
            for parameter, gradient in zip(parameters, gradients(loss, parameters), strict=True):
                parameter.grad = gradient
            self.adam.step()
        self.controller.tell(trials)
