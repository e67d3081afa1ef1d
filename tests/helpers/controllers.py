"""Controllers of every kind, on spaces that are small enough to check by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from lightning_nas import LogitsController, LstmController, SearchSpace
from lightning_nas.runtime.seeding import generator
from lightning_nas.samplers.controllers import Controller
from lightning_nas.spaces import ConvChainSpace
from lightning_nas.training.optimizer import Adam
from lightning_nas.trials.trial import Trial

# Options of every kind are few, so that all genotypes can be enumerated: depths of 1 to 3 have 4 + 32 + 512.
SMALL = ConvChainSpace(depths=(1, 2, 3), heights=(1,), widths=(1, 3), filters=(4, 8), strides=(1,))
CHAIN = ConvChainSpace(depths=(2, 4, 6), strides=(1, 2))
KINDS: dict[str, Callable[..., Controller]] = {
    "logits": LogitsController,
    "lstm": lambda space, **more: LstmController(space, hidden=6, **more),
    "lstm-shaped": lambda space, **more: LstmController(
        space, hidden=6, temperature=0.7, tanh_constant=1.9, op_tanh_reduce=1.25, **more
    ),
}
FAST = Adam(lr=0.05, betas=(0.9, 0.999), weight_decay=0.0)
both = pytest.mark.parametrize("kind", KINDS)


def strong(kind: str, space: SearchSpace, **more: Any) -> Controller:
    """A controller in float64 that is far from uniform."""
    controller = KINDS[kind](space, **more).double()
    source = generator(0, "strong")
    for parameter in controller.parameters():
        torch.nn.init.uniform_(parameter, -1.5, 1.5, generator=source)
    return controller


def rewarded(controller: Controller, rewards: list[float | None], first: int = 0) -> list[Trial]:
    """Trials of genotypes that the controller draws, with these rewards."""
    proposals = controller.ask(len(rewards), generator=generator(1, "ask", first))
    return [
        Trial(first + index, proposal, 0, "complete" if reward is not None else "failed", reward, 1.0)
        for index, (proposal, reward) in enumerate(zip(proposals, rewards, strict=True))
    ]
