"""The measurements of a latency table: which candidates, what they read, and what stands around them."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lightning_nas.costs.additive import CandidatePlace, candidates_of
from lightning_nas.costs.measured import Latency, latencies
from lightning_nas.costs.networks import (
    child_like_supernet,
    every_candidate,
    on_meta,
    random_images,
    running_child,
    same_weights,
    supernet_on_meta,
)
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces.base import SupernetSpace


class PlacedCandidate(NamedTuple):
    """A candidate in a cell.

    Args:
        place: where it is.
        shape: of what it reads, (B, C, H, W).
        key: the same for candidates that do the same.
    """

    place: CandidatePlace
    shape: tuple[int, ...]
    key: str


def placed_candidates(space: SupernetSpace, skeleton: Skeleton, images: Sequence[int]) -> list[PlacedCandidate]:
    """All candidates in all cells of a space's networks, as children have them.

    Args:
        space: whose candidates.
        skeleton: of the children.
        images: shape of the batch, (B, C, H, W).
    """
    supernet = supernet_on_meta(space, skeleton)
    shapes: dict[nn.Module, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        shapes[module] = tuple(inputs[0].shape), tuple(output.shape)

    places = candidates_of(space, supernet)
    modules = [supernet.get_submodule(place.name) for place in places]
    handles = [module.register_forward_hook(note) for module in modules]
    with torch.no_grad():
        supernet(on_meta(*images), every_candidate(space))
    for handle in handles:
        handle.remove()
    found = []
    for place, module in zip(places, modules, strict=True):
        read, given = shapes[module]
        name = place.name.rpartition(".")[2]
        key = f"{name} {_sizes(read)} -> {_sizes(given)} {_structure(module)}"
        found.append(PlacedCandidate(place, read, key))
    return found


def _sizes(shape: Sequence[int]) -> str:
    """Without the batch, which all entries of a table have in common."""
    return "x".join(map(str, shape[1:]))


def _structure(module: nn.Module) -> str:
    """A word that differs between modules of the same name that are built differently, such as in their norms."""
    weights = [(name, tuple(weight.shape)) for name, weight in module.state_dict().items()]
    return digest(f"{module!r} {weights}")


def digest(text: str) -> str:
    """Eight letters and digits that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def fixed_part(space: SupernetSpace, child: nn.Module, images: Tensor) -> tuple[Callable[[], object], bool]:
    """A run of a child whose candidates cost nothing, and whether they read tensors in channels last.

    The candidates give what they gave in a first run, which is kept.

    Args:
        space: of the child.
        child: in eval mode; its candidates do not compute any more afterwards.
        images: of the run, (B, C, H, W).
    """
    candidates = [child.get_submodule(place.name) for place in candidates_of(space, child)]
    kept: dict[nn.Module, Any] = {}
    layouts: list[bool] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        kept[module] = output
        state = inputs[0]
        if not state.is_contiguous():  # a tensor with one channel or one pixel is in all layouts at once
            layouts.append(state.is_contiguous(memory_format=torch.channels_last))

    handles = [module.register_forward_hook(keep) for module in candidates]
    child(images)
    for handle in handles:
        handle.remove()
    for module, output in kept.items():
        module.forward = _giving(output)
    return (lambda: child(images)), bool(layouts) and all(layouts)


def _giving(output: Any) -> Callable[..., Any]:
    return lambda *_inputs: output


_CHILDREN = 4  # random ones, whose surroundings are measured
_LEAST_MS = 1.0  # on an accelerator; on a CPU single calls take turns, and find caches as other operations left them


def fixed_part_key(space: SupernetSpace, skeleton: Skeleton, images: Sequence[int]) -> str:
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
            around = [self._fixed_part(number, device) for number in range(_CHILDREN)]
            if self.around in missing:
                runs |= {f"{self.around} {number}": run for number, (run, _) in enumerate(around)}
            runs |= self._candidates(missing, device, channels_last=any(last for _, last in around))
            found = latencies(runs, device, warmup, repetitions, 0.0 if device.type == "cpu" else _LEAST_MS)
        parts = [found.pop(f"{self.around} {number}") for number in range(_CHILDREN) if self.around in missing]
        if parts:
            median, spread = (statistics.mean(getattr(part, name) for part in parts) for name in ("median", "spread"))
            found[self.around] = Latency(median, spread, repetitions)
        return found

    def _fixed_part(self, number: int, device: torch.device) -> tuple[Callable[[], object], bool]:
        genotype = self.space.sample(generator(number, "surroundings"))
        child = running_child(self.space, genotype, self.skeleton, device, (self.images[2], self.images[3]))
        return fixed_part(self.space, child, random_images(*self.images, device=device))

    def _candidates(
        self, missing: Collection[str], device: torch.device, channels_last: bool
    ) -> dict[str, Callable[[], object]]:
        needed = {candidate.key: candidate for candidate in self.placed if candidate.key in missing}
        if not needed:
            return {}
        supernet = same_weights(lambda: child_like_supernet(self.space, self.skeleton))
        layout = torch.channels_last if channels_last else torch.contiguous_format
        runs = {}
        for key, candidate in needed.items():
            module = supernet.get_submodule(candidate.place.name).to(device).eval()
            state = random_images(*candidate.shape, device=device).contiguous(memory_format=layout)
            runs[key] = _call(module, state)
        return runs


def _call(module: nn.Module, state: torch.Tensor) -> Callable[[], object]:
    return lambda: module(state)
