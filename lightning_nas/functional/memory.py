"""What a program on a CPU can do about the price of its memory."""

from __future__ import annotations

import ctypes
import sys

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
