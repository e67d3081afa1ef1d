"""The spaces of ENAS: whole networks (macro), and cells as in NASNet (micro).

Source: Pham, Guan, Zoph, Le & Dean, "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Literal, cast

from torch import Tensor, nn

from lightning_nas.architecture.decisions import Anchors, Decision
from lightning_nas.architecture.edges import Edge, EdgeGroup, OptionalPart
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.execution.norm import Norm
from lightning_nas.execution.settings import Execution
from lightning_nas.functional.relax import without
from lightning_nas.networks.joined_width import state_weights
from lightning_nas.networks.macro import SKIPS, MacroLayer, MacroNetwork
from lightning_nas.networks.operations import check_candidates
from lightning_nas.networks.skeleton import CellSkeleton, MacroSkeleton, Skeleton
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.spaces.nasnet import NasnetSpace

ENAS_MACRO_CANDIDATES = (
    "branch_conv_3x3",
    "branch_sep_conv_3x3",
    "branch_conv_5x5",
    "branch_sep_conv_5x5",
    "branch_avg_pool_3x3",
    "branch_max_pool_3x3",
)
_DEEPEST = 60  # skips of a deeper network have more options than an index can count


class EnasMacroSpace(SupernetSpace):
    """Layers one after the other; each has an operation on the layer before and takes any of the earlier outputs.

    Layer k decides its operation, then its skips, one bit for each of the k - 1 layers before it. In the paper the
    first bit stands for layer 1 and the last for the layer before, whose output is also the operation's input. In the
    authors' code every bit reads the state one before: the first reads the stem, and none the layer before.

    Args:
        layers: 12 in the authors' search, 24 in the final network that they publish.
        candidates: operations in the order of the architecture parameters.
        first_source: what the first bit stands for: 1 is layer 1, 0 the stem.

    Raises:
        ValueError: fewer than 2 layers or more than 60, an unknown candidate, or another first source.

    Example:
        >>> space = EnasMacroSpace()
        >>> f"{space.size:.1e}", space.decisions[2].name, space.decisions[2].options[:]
        ('1.6e+29', 'layer.2.skips', ['0', '1'])
    """

    def __init__(
        self,
        layers: int = 12,
        candidates: Sequence[str] = ENAS_MACRO_CANDIDATES,
        first_source: Literal[0, 1] = 1,
    ) -> None:
        if not 2 <= layers <= _DEEPEST:
            raise ValueError(f"EnasMacroSpace(layers={layers}): give 2 to {_DEEPEST}; one layer alone has no skips.")
        if first_source not in (0, 1):
            raise ValueError(f"EnasMacroSpace(first_source={first_source!r}): give 1, the first layer, or 0, the stem.")
        self.layers, self.first_source = layers, first_source
        self.candidates = check_candidates(tuple(candidates))

    @cached_property
    def groups(self) -> Mapping[str, EdgeGroup]:
        numbers, first = range(1, self.layers + 1), self.first_source
        chain = tuple(Edge(layer, layer - 1) for layer in numbers)
        skips = tuple(Edge(layer, first + bit) for layer in numbers for bit in range(layer - 1))
        return {"ops": EdgeGroup("ops", chain, self.candidates), "skips": EdgeGroup("skips", skips, SKIPS)}

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        found, earlier = [], tuple[str, ...]()
        for layer in range(1, self.layers + 1):
            found.append(Decision(f"layer.{layer}.op", self.candidates))
            if earlier:
                found.append(Anchors.over(f"layer.{layer}.skips", earlier))
            earlier = (*earlier, f"layer.{layer}.op")
        return tuple(found)

    def selection(self, genotype: Genotype) -> dict[str, tuple[int | None, ...]]:
        choices = genotype.as_mapping()
        ops = tuple(self.candidates.index(choices[f"layer.{edge.node}.op"]) for edge in self.groups["ops"].edges)
        skips = self.groups["skips"].edges
        bits = (choices[f"layer.{edge.node}.skips"][edge.source - self.first_source] for edge in skips)
        return {"ops": ops, "skips": tuple(SKIPS.index("present") if bit == "1" else None for bit in bits)}

    def discretize(self, probabilities: Mapping[str, Tensor]) -> Genotype:
        """The strongest operation of each layer, and the skips that are rather present than absent."""
        choices: dict[str, str] = {}
        for edge, row in zip(self.groups["ops"].edges, probabilities["ops"].tolist(), strict=True):
            choices[f"layer.{edge.node}.op"] = self.candidates[row.index(max(row))]
        for edge, (absent, present) in zip(self.groups["skips"].edges, probabilities["skips"].tolist(), strict=True):
            name = f"layer.{edge.node}.skips"
            choices[name] = choices.get(name, "") + str(int(present > absent))
        return self.genotype(choices)

    def inclusion(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The probabilities, but of skips that are absent, of which nothing is part of the network."""
        return {"ops": probabilities["ops"], "skips": without(probabilities["skips"], [SKIPS.index("absent")], False)}

    def panels(self, genotype: Genotype) -> dict[str, tuple[tuple[Edge, str], ...]]:
        """What pictures show: the chain of operations, and over it the skips that are present."""
        found = self.connections(genotype)
        return {"ops": (*found["ops"], *found["skips"])}

    def optional_parts(self, supernet: nn.Module) -> Iterator[OptionalPart]:
        """Reductions of states that only skips read at that resolution, and the projections' weights for skips."""
        network = cast(MacroNetwork, supernet)
        present, skips = SKIPS.index("present"), self.groups["skips"].edges
        for name in network.reductions:
            state, stage = map(int, name.split("_"))
            if network.stages[state + 1] < stage:  # else the next layer reads it in any case
                rows = (
                    row for row, edge in enumerate(skips) if edge.source == state and network.stages[edge.node] >= stage
                )
                yield OptionalPart(f"reductions.{name}", {"skips": tuple((row, present) for row in rows)})
        for index, layer in enumerate(network.layers):
            if cast(MacroLayer, layer).projection is not None:
                for state, name, share in state_weights(network, f"layers.{index}.projection"):
                    if state != index + 1:
                        row = cast(MacroLayer, layer).skips[state]
                        yield OptionalPart(name, {"skips": ((row, present),)}, share=share)

    def build(self, genotype: Genotype | None, skeleton: Skeleton, execution: Execution = Execution()) -> MacroNetwork:
        if not isinstance(skeleton, MacroSkeleton):
            raise ValueError(f"EnasMacroSpace builds on a MacroSkeleton, not on a {type(skeleton).__name__}.")
        return MacroNetwork(skeleton, self.groups, self.kept(genotype), genotype is None, execution)

    def skeleton(self, **sizes: object) -> MacroSkeleton:
        """The skeleton of the authors' search: 36 channels, outputs are added."""
        return MacroSkeleton(**sizes)  # type: ignore[arg-type]

    def parse(self, text: str) -> Genotype:
        """The authors' `fixed_arc`: for each layer the operation's index and its bits, all apart, `"0 3 1 2 0 1"`.

        Raises:
            ValueError: the text has another form, or more or fewer numbers than the layers have.
        """
        words, start, choices = text.split(), 0, dict[str, str]()
        expected = self.layers * (self.layers + 1) // 2
        if len(words) != expected or not all(word.isdecimal() for word in words):
            raise ValueError(
                f"text={text!r}: the {self.layers} layers of the space take {expected} numbers, an operation and the "
                f"bits of each layer, and it has {len(words)} words: give EnasMacroSpace(layers=...) of the text."
            )
        for layer in range(1, self.layers + 1):
            index, bits = int(words[start]), words[start + 1 : start + layer]
            if index >= len(self.candidates) or not set(bits) <= {"0", "1"}:
                raise ValueError(
                    f"text: layer {layer} reads '{' '.join(words[start : start + layer])}': give an operation from 0 "
                    f"to {len(self.candidates) - 1}, then {layer - 1} bits."
                )
            choices[f"layer.{layer}.op"] = self.candidates[index]
            if bits:
                choices[f"layer.{layer}.skips"] = "".join(bits)
            start += layer
        return self.genotype(choices)

    def format(self, genotype: Genotype) -> str:
        choices = self.check(genotype).as_mapping()
        words: list[str] = []
        for layer in range(1, self.layers + 1):
            words += [
                str(self.candidates.index(choices[f"layer.{layer}.op"])),
                *choices.get(f"layer.{layer}.skips", ""),
            ]
        return " ".join(words)


ENAS_MICRO_CANDIDATES = ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")


class EnasMicroSpace(NasnetSpace):
    """`NasnetSpace` with the five operations of ENAS, in the order of the authors' code.

    What differs from that code: in its search a cell ends with ReLU, a 1x1 convolution to C channels with one weight
    for each state, and a norm, and later cells read that as it is. Here a cell gives its loose ends, as in the authors'
    final network, and what reads it, also ReLU, a 1x1 convolution and a norm, has one weight for each state: the same
    family of functions, with weights of its own for each of the two readers. Their code counts an input of the cell
    that no block reads as a loose end; here only blocks are.

    Args:
        blocks: of a cell.
        candidates: operations in the order of the architecture parameters; `none` cannot be one.

    Raises:
        ValueError: no block, an unknown candidate, or `none`.

    Example:
        >>> space = EnasMicroSpace()
        >>> space.groups["normal"].shape, space.skeleton().cells, space.skeleton(channels=36, cells=17).reductions
        ((40, 5), 8, (5, 11))
    """

    def __init__(self, blocks: int = 5, candidates: Sequence[str] = ENAS_MICRO_CANDIDATES) -> None:
        super().__init__(blocks, candidates)

    def skeleton(self, **sizes: object) -> CellSkeleton:
        """That of the authors' search: 6 cells and 2 reductions, 20 channels, all norms with scale and shift."""
        published = {"cells": 8, "channels": 20, "norm": Norm(), "pool_norm": False}
        return CellSkeleton(**{**published, **sizes})  # type: ignore[arg-type]
