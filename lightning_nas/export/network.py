"""The part of a training that is exported: the network in eval mode, and what may stand around it."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from lightning_nas.data.description import InputDescription
from lightning_nas.training import NetworkTraining


class ExportedNetwork(nn.Module):
    """Images to logits, or to probabilities, without what only training needs.

    Args:
        training: the training; it stays as it is.
        description: gives the normalisation.
        with_normalisation: take images in [0, 1].
        with_softmax: give probabilities.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, training: NetworkTraining, description: InputDescription, with_normalisation: bool, with_softmax: bool
    ) -> None:
        super().__init__()
        self.with_normalisation, self.with_softmax = with_normalisation, with_softmax
        if with_normalisation:
            assert description.mean is not None, "checked before"
            assert description.std is not None, "checked before"
            self.register_buffer("mean", torch.tensor(description.mean).view(1, -1, 1, 1))
            self.register_buffer("std", torch.tensor(description.std).view(1, -1, 1, 1))
        self.network = plain_network(training)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        if self.with_normalisation:
            images = (images - self.mean) / self.std
        logits: Tensor = self.network(images).logits
        return logits.softmax(-1) if self.with_softmax else logits


def plain_network(training: NetworkTraining) -> nn.Module:
    """The network once more in float32, without auxiliary head, run edge by edge.

    What a network does for the speed of one device, such as another memory layout, has no place in a file for any.
    """
    skeleton = replace(training.skeleton, execution="edge_by_edge", checkpoint_cells=False)
    if getattr(skeleton, "auxiliary", False):
        skeleton = replace(skeleton, auxiliary=False)  # type: ignore[call-arg]
    network = training.space.build(training.genotype, skeleton)
    trained = training.network.state_dict()
    network.load_state_dict({name: trained[name] for name in network.state_dict()})
    return network.float()
