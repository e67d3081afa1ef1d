"""Memory: copies between host and device, the allocator, and Python's cycle collector."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of malloc.h
_MOST = 2**31 - 1
_LARGEST_MMAP_THRESHOLD = 32 * 2**20


def keep_freed_memory() -> bool:
    """Tell glibc to keep memory that is freed, for the next step to use; say whether it will.

    A training step frees all that it has allocated. By default glibc gives large parts of that back to the system, and
    each of its pages costs a fault when the next step takes it again: a tenth to a half of a search step's time on a
    CPU. The setting belongs to the whole process, so programs call it at their start and libraries do not. No effect
    where the C library is another one, and none on accelerators.

    Example:
        >>> keep_freed_memory() in (True, False)
        True
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)) and bool(mallopt(_TRIM_THRESHOLD, _MOST))


@contextmanager
def defer_garbage_collection() -> Iterator[None]:
    """Within it Python does not look for cycles of references; what no reference holds is freed at once as ever.

    A search step makes tens of thousands of objects and no cycles. Every few steps that many start a search through all
    objects of the process, half a million of them and a quarter of a second, to find nothing.

    Example:
        >>> with defer_garbage_collection():
        ...     gc.isenabled()
        False
        >>> gc.isenabled()
        True
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
