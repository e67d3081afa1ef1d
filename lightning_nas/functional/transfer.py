"""From the host to a device without waiting for it.

A copy that blocks waits until the device has done all that it was given before. One that does not is safe in this
direction: CUDA has taken pageable memory over when the call returns. In the other direction it would not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def moved(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """The tensor on a device, as another type if one is given; itself if it is so already.

    Example:
        >>> moved(torch.ones(2), torch.device("cpu"), torch.float64)
        tensor([1., 1.], dtype=torch.float64)
    """
    return tensor.to(device, dtype or tensor.dtype, non_blocking=tensor.device.type == "cpu")


def sent(values: Sequence[Any], device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Python numbers as a tensor on a device; `torch.tensor(values, device=device)` would wait.

    Example:
        >>> sent([True, False], torch.device("cpu"))
        tensor([ True, False])
    """
    return moved(torch.tensor(values, dtype=dtype), device)
