"""One step of a search with shared weights: this package's execution against its own edge-by-edge reference.

The reference is in the layout of the authors' code: NCHW, one edge after the other. Both sides run the same recorded
paths on the same images. A weight step is forward, backward, clipping and SGD on one path; a controller step is the
accuracy of one path on one batch without gradients, and every tenth step the controller learns from ten of them.
The draws themselves are the same code on both sides and are timed with the controller step.

    python benchmarks/sharing_step.py            # five minutes on two cores
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import interleaved, median_ratio, processor, record
from torch import nn

from lightning_nas import CellSkeleton, Classification, EnasSearch, Skeleton, StagedSkeleton, SupernetSpace, Trial
from lightning_nas.functional.gradients import gradients
from lightning_nas.functional.memory import keep_freed_memory
from lightning_nas.functional.seeding import generator
from lightning_nas.path_score import Path as SupernetPath
from lightning_nas.path_score import evaluating, score_path
from lightning_nas.spaces import DartsSpace, NasBench201Space

SPACES: dict[str, tuple[SupernetSpace, Callable[..., Skeleton]]] = {
    "nasbench201": (NasBench201Space(), lambda **sizes: StagedSkeleton(channels=16, cells_per_stage=5, **sizes)),
    "darts": (DartsSpace(), lambda **sizes: CellSkeleton(channels=16, cells=8, **sizes)),
}
SIDES = ("edge_by_edge", "fan_out")
ROUND = 10


class Side:
    """One supernet and its controller, and the steps on fixed batches."""

    def __init__(self, execution: Any, name: str, batch: int, paths: int, seed: int, device: torch.device) -> None:
        torch.manual_seed(seed)
        self.space, make = SPACES[name]
        self.search = EnasSearch(self.space, make(execution=execution)).to(device)
        self.network, self.controller = self.search.supernet, self.search.sampler
        self.weights = list(self.network.parameters())
        self.images = torch.randn(batch, 3, 32, 32, device=device)
        self.targets = torch.randint(10, (batch,), device=device)
        self.sgd = torch.optim.SGD(self.weights, 0.05, momentum=0.9, nesterov=True, weight_decay=2e-4)
        self.adam = self.controller.optimizer.build(self.controller.parameters())
        self.paths = [self.space.sample(generator(seed, "path", index)) for index in range(paths)]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="*", default=list(SPACES), choices=list(SPACES))
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--paths", type=int, default=50, help="recorded paths")
    parser.add_argument("--seed", type=int, default=0, help="of weights, images and paths")
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    settings = parser.parse_args()
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    print(f"{processor()}\n{'space':14}{'step':20}{'reference':>12}{'package':>12}{'ratio':>8}")
    results = {}
    for name in settings.spaces:
        sides = {kind: Side(kind, name, settings.batch, settings.paths, settings.seed, device) for kind in SIDES}
        for step, rounds, share in (
            ("weight_step", settings.rounds, 1),
            ("controller_round", settings.rounds // 2, ROUND),
        ):
            for side in sides.values():
                side.step = 0
            seconds = interleaved({kind: getattr(side, step) for kind, side in sides.items()}, rounds)
            medians = {kind: statistics.median(values) / share for kind, values in seconds.items()}
            ratio = median_ratio(seconds["edge_by_edge"], seconds["fan_out"])
            label = step.replace("_round", " step").replace("_", " ")
            slow, fast = (f"{medians[kind]:>10.3f} s" for kind in SIDES)
            print(f"{name:14}{label:20}{slow}{fast}{ratio:>8.2f}", flush=True)
            results[f"{name} {label}"] = {"seconds": seconds, "median": medians, "ratio": ratio}
    record("sharing_step", results, {k: v for k, v in vars(settings).items() if k != "output"}, settings.output)


if __name__ == "__main__":
    main()
