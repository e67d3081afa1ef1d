"""Fast training of the edges that leave a state of a child: one operation on each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from torch import Tensor
from torch.nn import functional as F

from lightning_nas.edge import EdgeWeights, FanOut


class ChildFanOut(FanOut):
    """The same function as `FanOut`; in training a child's edges share what they have in common.

    Kinds of candidates say what can be shared:

    - `rectified(state)` gives, with the kernels that train fastest, what an operation gives for a state that ReLU has
      passed; the ReLU is computed once.
    - `shared(operations, state)` gives what several operations all give alike, or None where they differ.

    In eval mode each operation is called as the module that it is, so hooks and exports see it.
    """

    def __call__(self, state: Tensor, weights: EdgeWeights | None) -> Iterator[tuple[int, Tensor]]:
        if weights is not None or not self.drop_path.training:
            yield from super().__call__(state, weights)
            return
        alike: dict[int, Tensor | None] = {}
        rectified: Tensor | None = None
        for edge in self.edges:
            ((column, operation),) = edge.operations.items()
            if column not in alike:
                alike[column] = self._shared(column, state)
            output = alike[column]
            if output is None and hasattr(operation, "rectified"):
                rectified = F.relu(state) if rectified is None else rectified
                output = cast(Any, operation).rectified(rectified)
            yield edge.node, self._apply(operation, state) if output is None else self._dropped(operation, output)

    def _shared(self, column: int, state: Tensor) -> Tensor | None:
        """What the operations of a kind all give, where several of them stand on the edges."""
        operations = [edge.operations[column] for edge in self.edges if column in edge.operations]
        share = getattr(type(operations[0]), "shared", None)
        return None if share is None or len(operations) == 1 else share(operations, state)
