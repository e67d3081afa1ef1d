"""What a candidate may offer so that edges run faster together; a candidate that offers nothing runs by itself.

Sizes in the shapes: B batch, C channels of an edge, E edges that run as one, h and w height and width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

from torch import Tensor, nn

Restore: TypeAlias = Callable[[Tensor, Tensor | None], Tensor]


class Plan(NamedTuple):
    """How one kind of candidate runs on E edges at once; channels hold the edges one after the other.

    Args:
        prepare: from the state behind ReLU (B, C, h, w) and E to what the operations read; kinds with the same function
            share it.
        run: from E operations, what was prepared and their weights, one for each channel, (E * C,), to the weighted
            outputs, (B, E * C, h, w), which may be written over.
        restore: brings a sum of such outputs to its final form, and adds it to a second one, which may be written over,
            unless that is None; applied once to the sum of all kinds that have it.
    """

    prepare: Callable[[Tensor, int], Tensor]
    run: Callable[[Any, Tensor, Tensor], Tensor]
    restore: Restore | None = None


@runtime_checkable
class SharesInput(Protocol):
    """Candidate whose operations all give the same for the same state: pools, skip connections, `none`."""

    @staticmethod
    def shared(operations: Sequence[Any], x: Tensor, /) -> Tensor | None:
        """The common output for a state (B, C, h, w), or None where the operations differ."""
        ...


@runtime_checkable
class RunsJointly(Protocol):
    """Candidate of which several run as one operation, in a supernet: convolutions side by side in the channels."""

    def plan(self, state: Tensor, /) -> Plan:
        """How it runs for a state (B, C, h, w)."""
        ...


@runtime_checkable
class RunsRectified(Protocol):
    """Candidate that begins with ReLU, which all edges of a state then compute once, in the training of a child."""

    def rectified(self, x: Tensor, /) -> Tensor:
        """Its output for a state (B, C, h, w) behind ReLU, by the kernels that train fastest."""
        ...


@runtime_checkable
class GivesZero(Protocol):
    """Candidate that contributes nothing (`none`): a supernet that runs all candidates leaves it out."""

    is_zero: bool


class Traits:
    """What operations of one class with equal settings offer: they may run as one.

    Compared by identity: `TraitsOf` gives the same object for the same class and settings.
    """

    def __init__(self, operation: nn.Module) -> None:
        self.shared = type(operation).shared if isinstance(operation, SharesInput) else None
        self.joint = isinstance(operation, RunsJointly)
        self.rectified = isinstance(operation, RunsRectified)
        self.zero = isinstance(operation, GivesZero) and operation.is_zero


class TraitsOf:
    """Traits of the operations that one fan-out has run; each operation is inspected once.

    Settings are those that `repr` shows, so a candidate of one's own shows them by `extra_repr`.
    """

    def __init__(self) -> None:
        self._by_operation: dict[nn.Module, Traits] = {}
        self._by_settings: dict[tuple[type, str], Traits] = {}

    def __call__(self, operation: nn.Module) -> Traits:
        """The traits of an operation."""
        traits = self._by_operation.get(operation)
        if traits is None:
            settings = type(operation), repr(operation)
            traits = self._by_settings.setdefault(settings, Traits(operation))
            self._by_operation[operation] = traits
        return traits

    def __reduce__(self) -> tuple[type[TraitsOf], tuple[()]]:
        return TraitsOf, ()  # copies and files of a network begin anew, without operations that were removed
