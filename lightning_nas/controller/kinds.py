"""What a controller reads off a decision: which others share its softmax, and whether it chooses an operation."""

from __future__ import annotations

import re

from lightning_nas.anchors import Anchors
from lightning_nas.genotype import Decision


def kind_of(decision: Decision) -> str:
    """What decisions that share their softmax have in common; a key that a ModuleDict can hold.

    Example:
        >>> kind_of(Decision("layer.3.filters", ("24", "36"))), kind_of(Anchors.over("layer.3.anchors", ("a",)))
        ('layer_n_filters_2', 'anchors')
    """
    if isinstance(decision, Anchors):
        return "anchors"
    pattern = re.sub(r"\.\d+(?=\.)", ".n", decision.name)
    return re.sub(r"\W", "_", f"{pattern}.{len(decision.options)}")


def chooses_operation(decision: Decision) -> bool:
    """Whether a decision says what is computed, not what is read: no anchors, and no name that ends in an input's.

    The last part of the name counts: "normal.2.input0" and "normal.2.inputs" are inputs. All others are operations, for
    there are many names for these: "normal.2.op0", "layer.3.op", the edge "cell.1_0", "layer.3.filters".

    Example:
        >>> names = ("normal.2.input0", "normal.2.inputs", "normal.2.op0", "layer.3.op", "cell.1_0")
        >>> [chooses_operation(Decision(name, ("a", "b"))) for name in names]
        [False, False, True, True, True]
    """
    return not isinstance(decision, Anchors) and not decision.name.rpartition(".")[2].startswith("input")
