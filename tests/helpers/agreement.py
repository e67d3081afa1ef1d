"""How networks of the package are held against the plain transcriptions in `reference`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lightning_nas.runtime.seeding import generator

BOUND = 1e-9


def used(network: nn.Module) -> nn.Module:
    """The network in float64, with random scales, shifts and running statistics."""
    torch.manual_seed(0)
    network.double()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        for name, buffer in network.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0.0, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    return network


def tensors(network: nn.Module) -> dict[str, Tensor]:
    """Parameters, which take part in gradients, and buffers by their keys."""
    return {**dict(network.named_parameters()), **dict(network.named_buffers())}


def images(size: int, channels: int = 3) -> Tensor:
    return torch.randn(2, channels, size, size, generator=generator(0, "images"), dtype=torch.float64)


def error(found: Sequence[Tensor | None], expected: Sequence[Tensor | None], inputs: Sequence[Tensor]) -> float:
    """The largest difference, over the largest number, of outputs and of their gradients by the inputs."""
    errors = []
    gradients = []
    for outputs in (found, expected):
        present = [output for output in outputs if output is not None]
        weights = [torch.randn(x.shape, generator=generator(0, i), dtype=x.dtype) for i, x in enumerate(present)]
        loss = torch.stack([(w * x).sum() for w, x in zip(weights, present, strict=True)]).sum()
        gradients.append(torch.autograd.grad(loss, list(inputs), allow_unused=True, retain_graph=True))
    for one, other in zip([*found, *gradients[0]], [*expected, *gradients[1]], strict=True):
        if one is None or other is None:
            errors.append(0.0 if one is other else float((other if one is None else one).detach().abs().max()))
        else:
            scale = other.detach().abs().max().clamp_min(1e-3)
            errors.append(float((one - other).detach().abs().max() / scale))
    return max(errors)
