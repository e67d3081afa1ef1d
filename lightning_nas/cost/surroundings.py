"""What a child does around its candidates: stem, preprocessing, sums, concatenation, reductions, head."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lightning_nas.cost.attribution import candidates_of
from lightning_nas.space import SupernetSpace


def surroundings(space: SupernetSpace, child: nn.Module, images: Tensor) -> tuple[Callable[[], object], bool]:
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
