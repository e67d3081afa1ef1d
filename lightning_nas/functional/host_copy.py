"""A tensor on its way to the host, which nobody waits for until it is looked at."""

from __future__ import annotations

import torch
from torch import Tensor


class HostCopy:
    """Starts to copy a tensor to the host; `value` waits for this copy alone, not for what is queued behind it.

    On the CPU it is the tensor itself. Accelerators other than CUDA's copy when `value` is asked for.

    Args:
        tensor: what to copy; it may be overwritten afterwards on its own stream.

    Example:
        >>> HostCopy(torch.tensor(2.0)).value()
        tensor(2.)
    """

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor.detach()
        self._copied: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._tensor = _pinned(tensor).copy_(self._tensor, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record(torch.cuda.current_stream(tensor.device))

    def value(self) -> Tensor:
        """The tensor, on the host."""
        if self._copied is not None:
            self._copied.synchronize()
        return self._tensor.cpu()


def _pinned(tensor: Tensor) -> Tensor:
    """Memory that a card writes to by itself; torch keeps it for the next one."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu", pin_memory=True)
