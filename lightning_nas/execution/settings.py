"""How networks are run: the one choice between the readable reference and its fast forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_nas.config import Configurable
from lightning_nas.execution.reference import DropPath, FanOut, FanOutEdge
from lightning_nas.execution.shared import SharedFanOut


@dataclass(frozen=True)
class Execution(Configurable):
    """Settings of speed and memory, which change neither the function of a network nor its parameters.

    Whoever builds a network hands them in: `space.build(genotype, skeleton, execution)`. They are no sizes, so
    skeletons, costs, exported files and final configs know nothing of them.

    Args:
        mode: "fan_out" runs all edges that leave a state together; "edge_by_edge" is the slow, readable reference.
        checkpoint_cells: compute what lies inside a cell once more in the backward pass instead of keeping it: less
            memory for more time.

    Raises:
        ValueError: another mode.

    Example:
        >>> Execution().together, Execution("edge_by_edge").together
        (True, False)
    """

    mode: Literal["fan_out", "edge_by_edge"] = "fan_out"
    checkpoint_cells: bool = False

    def __post_init__(self) -> None:
        if self.mode not in ("fan_out", "edge_by_edge"):
            raise ValueError(f"Execution(mode={self.mode!r}): give 'fan_out' or 'edge_by_edge'.")

    @property
    def together(self) -> bool:
        """Whether edges that leave a state run together."""
        return self.mode == "fan_out"

    def fan_out(
        self, operations: nn.ModuleDict, candidates: Sequence[str], edges: Sequence[FanOutEdge], drop_path: DropPath
    ) -> FanOut:
        """What runs the edges that leave one state; arguments as those of `FanOut`."""
        run = SharedFanOut if self.together else FanOut
        return run(operations, candidates, edges, drop_path)

    def laid_out(self, images: Tensor, supernet: bool) -> Tensor:
        """The images in the memory layout that a network is fast in: channels last, for children on a CPU."""
        fast = self.together and (supernet or images.device.type == "cpu")
        return images.contiguous(memory_format=torch.channels_last) if fast else images
