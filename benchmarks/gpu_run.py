"""Sections of `gpu.py`: each has its share of the time, and a failure of one is noted and the next goes on."""

from __future__ import annotations

import argparse
import copy
import time
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from gpu_device import free

T = TypeVar("T")


class Settings(argparse.Namespace):
    """Arguments of the command line, sizes, and the profiles of steps, which take long and are made once."""

    profiles: dict[str, list[Any]]

    def with_batch(self, batch: int) -> Settings:
        """The same with another batch size."""
        other = copy.copy(self)
        other.batch = batch
        return other


class Section:
    """Results of one section, by item; what fails, and what there is no time for, says so.

    Args:
        name: of the section.
        deadline: `time.perf_counter()` after which no further item is started.
        save: called after each item, so that what is cut off leaves what it has.
    """

    def __init__(self, name: str, deadline: float, save: Callable[[], None] = lambda: None) -> None:
        self.name, self.deadline, self.save = name, deadline, save
        self.results: dict[str, Any] = {}

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.perf_counter()

    def note(self, name: str, value: T) -> T:
        """Keep a result."""
        self.results[name] = value
        return value

    def item(self, name: str, measure: Callable[[], Any]) -> Any:
        """Measure something; its result, or None if it failed or came too late."""
        if self.left <= 0:
            print(f"{name}: left out, the time of {self.name!r} is over", flush=True)
            self.results[name] = {"left_out": "no time"}
            return None
        try:
            self.results[name] = measure()
        except Exception as error:  # noqa: BLE001  whatever a device or a compiler throws: the others are still wanted
            place = traceback.extract_tb(error.__traceback__)[-1]
            text = f"{type(error).__name__}: {str(error)[:500]}"
            print(f"{name}: FAILED, {text}", flush=True)
            self.results[name] = {
                "failed": text, "at": f"{place.filename}:{place.lineno}", "trace": traceback.format_exc()[-4000:],
            }  # fmt: skip
            return None
        finally:
            free()
            self.save()
        return self.results[name]
