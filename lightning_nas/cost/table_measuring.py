"""The measurements of a latency table."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from lightning_nas.cost.candidate_shapes import PlacedCandidate, digest
from lightning_nas.cost.network import as_in_children
from lightning_nas.cost.running import random_images, running_child, same_weights
from lightning_nas.cost.stopwatch import Latency, latencies
from lightning_nas.cost.surroundings import surroundings
from lightning_nas.functional.seeding import generator
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SupernetSpace

_CHILDREN = 4  # random ones, whose surroundings are measured
_LEAST_MS = 1.0  # on an accelerator; on a CPU single calls take turns, and find caches as other operations left them


def surroundings_key(space: SupernetSpace, skeleton: Skeleton, images: Sequence[int]) -> str:
    """The name of the entry for what stands around the candidates of a space's children."""
    what = digest(json.dumps([space.config(), skeleton.config()], sort_keys=True))
    return f"around {type(space).__name__} {'x'.join(map(str, images[1:]))} {what}"


@dataclass(frozen=True)
class Measuring:
    """Measures entries of a table for the children of a space.

    Args:
        space: whose children.
        skeleton: of the children.
        placed: all candidates that they can have.
        around: name of the entry for what stands around candidates.
        images: shape of the batch, (B, C, H, W).
    """

    space: SupernetSpace
    skeleton: Skeleton
    placed: Sequence[PlacedCandidate]
    around: str
    images: tuple[int, ...]

    def __call__(
        self, missing: Collection[str], device: torch.device, warmup: int, repetitions: int
    ) -> dict[str, Latency]:
        """The entries; candidates and surroundings are measured in turn."""
        runs: dict[str, Callable[[], object]] = {}
        with torch.inference_mode():
            around = [self._surroundings(number, device) for number in range(_CHILDREN)]
            if self.around in missing:
                runs |= {f"{self.around} {number}": run for number, (run, _) in enumerate(around)}
            runs |= self._candidates(missing, device, channels_last=any(last for _, last in around))
            found = latencies(runs, device, warmup, repetitions, 0.0 if device.type == "cpu" else _LEAST_MS)
        parts = [found.pop(f"{self.around} {number}") for number in range(_CHILDREN) if self.around in missing]
        if parts:
            median, spread = (statistics.mean(getattr(part, name) for part in parts) for name in ("median", "spread"))
            found[self.around] = Latency(median, spread, repetitions)
        return found

    def _surroundings(self, number: int, device: torch.device) -> tuple[Callable[[], object], bool]:
        genotype = self.space.sample(generator(number, "surroundings"))
        skeleton = replace(self.skeleton, checkpoint_cells=False)
        child = running_child(self.space, genotype, skeleton, device, (self.images[2], self.images[3]))
        return surroundings(self.space, child, random_images(*self.images, device=device))

    def _candidates(
        self, missing: Collection[str], device: torch.device, channels_last: bool
    ) -> dict[str, Callable[[], object]]:
        needed = {candidate.key: candidate for candidate in self.placed if candidate.key in missing}
        if not needed:
            return {}
        supernet = same_weights(lambda: self.space.build(None, as_in_children(self.skeleton)))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        runs = {}
        for key, candidate in needed.items():
            module = supernet.get_submodule(candidate.place.name).to(device).eval()
            state = random_images(*candidate.shape, device=device).contiguous(memory_format=layout)
            runs[key] = _call(module, state)
        return runs


def _call(module: nn.Module, state: torch.Tensor) -> Callable[[], object]:
    return lambda: module(state)
