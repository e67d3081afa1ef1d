"""A table of logits: the policy without a network.

Source: the REINFORCE baseline of Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture
Search", ICLR 2020.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightning_nas.architecture.decisions import Anchors
from lightning_nas.samplers.controllers.base import Controller
from lightning_nas.samplers.controllers.rules import PolicyRule
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.optimizer import Adam
from lightning_nas.trials.trial import Fidelity


class LogitsController(Controller):
    """Decides each decision by itself, with one logit an option; anchors have one logit for each earlier layer.

    Args:
        space: where to search.
        rule: how the policy learns.
        optimizer: Adam of the logits; None is a rate of 0.01.
        fidelity: as in `Sampler`.
        fixed: as in `Sampler`.

    Example:
        >>> from lightning_nas.spaces import NasBench201Space
        >>> controller = LogitsController(NasBench201Space())
        >>> [tuple(logits.shape) for logits in controller.tables][:2]
        [(5,), (5,)]
    """

    def __init__(
        self,
        space: SearchSpace,
        rule: PolicyRule | None = None,
        optimizer: Adam | None = None,
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(space, rule, optimizer or Adam(lr=0.01, betas=(0.9, 0.999), weight_decay=0.0), fidelity, fixed)
        sizes = [len(d.earlier) if isinstance(d, Anchors) else len(d.options) for d in space.decisions]
        self.tables = nn.ParameterList(torch.empty(size) for size in sizes)
        self.initialize(1e-3)

    def start(self, batch: int) -> int:
        return batch

    def logits(self, position: int, state: int) -> tuple[Tensor, int]:
        return self.tables[position].expand(state, -1), state

    def feed(self, position: int, state: int, chosen: Tensor) -> int:  # noqa: ARG002 - decisions are independent
        return state
