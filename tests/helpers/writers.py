"""Several processes at once, as forks of this one: each has everything imported already."""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Callable, Sequence
from typing import Any


def exit_codes(target: Callable[..., None], calls: Sequence[Sequence[Any]]) -> list[int | None]:
    """Those of one process for each call, all running at the same time; 1 for an exception.

    Args:
        target: what each process calls. It must not start threads, nor use those of this process.
        calls: the arguments of each.
    """
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=target, args=tuple(arguments), daemon=True) for arguments in calls]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        for process in processes:
            process.start()
    for process in processes:
        process.join(timeout=120)
    return [process.exitcode for process in processes]
