"""Work that the tests of one class share."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")


def shared(test: object, key: Hashable, make: Callable[[], T]) -> T:
    """What the first test of a class that asks has made. Tests must leave it as it is.

    It is kept on the class of `test` itself, so that a class which derives from another one has work of its own.
    """
    owner = type(test)
    if "_shared" not in vars(owner):
        owner._shared = {}  # type: ignore[attr-defined]
    kept: dict[Hashable, Any] = vars(owner)["_shared"]
    if key not in kept:
        kept[key] = make()
    found: T = kept[key]
    return found
