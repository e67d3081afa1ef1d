"""Relaxations: from architecture parameters to the architecture that a supernet runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import Tensor, nn
from typing_extensions import override

from lightning_nas.architecture.edges import Architecture, EdgeGroup, EdgeWeights
from lightning_nas.config import Configurable

Parameters: TypeAlias = Mapping[str, Mapping[str, Tensor]]
"""Architecture parameters by group name and by their own name."""


class Relaxation(nn.Module, Configurable, ABC):
    """How a differentiable method turns architecture parameters into edge weights."""

    def init(self, group: EdgeGroup) -> dict[str, Tensor]:
        """Fresh parameters of one group; by default `alpha` (edges, candidates), normal with deviation 1e-3."""
        return {"alpha": 1e-3 * torch.randn(group.shape)}

    @abstractmethod
    def forward(self, parameters: Parameters, generator: torch.Generator) -> Architecture:
        """The architecture to run, all groups at once: a sample is then copied to the host once."""

    def distribution(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Probability of each candidate on each edge of one group, (edges, candidates), differentiable.

        Of a softmax these are the values that are run; a Gumbel sample picks a candidate with just this probability,
        whatever its temperature. What is expected of an architecture is expected under these.
        """
        return parameters["alpha"].softmax(-1)

    def probabilities(self, parameters: Mapping[str, Tensor]) -> Tensor:
        """Probability of each candidate on each edge of one group, (edges, candidates), detached."""
        return self.distribution({name: value.detach() for name, value in parameters.items()})

    def penalty(self, parameters: Parameters) -> Tensor:
        """A term of the architecture loss, a scalar; 0 by default."""
        tensors = (tensor for group in parameters.values() for tensor in group.values())
        return torch.zeros((), device=next((tensor.device for tensor in tensors), None))


class Softmax(Relaxation):
    """Every candidate weighted with the softmax of its edge's parameters (Liu et al. 2019, equation 2)."""

    @override
    def forward(self, parameters: Parameters, generator: torch.Generator) -> Architecture:
        return {name: EdgeWeights(group["alpha"].softmax(-1)) for name, group in parameters.items()}
