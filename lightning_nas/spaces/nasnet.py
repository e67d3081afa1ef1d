"""The NASNet space: cells of five blocks, two inputs a block, 13 operations, loose ends side by side.

Source: Zoph, Vasudevan, Shlens & Le, "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018.
It is also that of Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import cast

import torch
from torch import Tensor, nn

from lightning_nas.architecture.decisions import Decision
from lightning_nas.architecture.edges import Edge, EdgeGroup, OptionalPart
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.execution.settings import Execution
from lightning_nas.functional.relax import shares
from lightning_nas.networks.cell_network import CellNetwork
from lightning_nas.networks.joined_width import state_weights
from lightning_nas.networks.operations import check_candidates
from lightning_nas.networks.skeleton import CellSkeleton, Skeleton
from lightning_nas.networks.two_input_cells import NasnetCell, TwoInputCell, loose_ends
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.spaces.text import Inputs, format_cells, parse_cells

NASNET_CANDIDATES = (
    "skip_connect",
    "conv_3x1_1x3",
    "conv_7x1_1x7",
    "dil_conv_3x3",
    "avg_pool_3x3",
    "max_pool_3x3",
    "max_pool_5x5",
    "max_pool_7x7",
    "nor_conv_1x1",
    "nor_conv_3x3",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
)


class NasnetSpace(SupernetSpace):
    """Cells whose blocks each add two operations, on any two earlier states; the states that none reads are the output.

    A block decides in the order of the paper: first input, second input, and an operation for each. Both inputs may be
    one state. The two operations are added, as in all cells that the authors publish; concatenating them is left out.

    Args:
        blocks: B of the paper.
        candidates: operations in the order of the architecture parameters; `none` cannot be one.

    Raises:
        ValueError: no block, an unknown candidate, or `none`.

    Example:
        >>> space = NasnetSpace()
        >>> space.groups["normal"].shape, [decision.name for decision in space.decisions[:3]]
        ((40, 13), ['normal.2.input0', 'normal.2.input1', 'normal.2.op0'])
    """

    def __init__(self, blocks: int = 5, candidates: Sequence[str] = NASNET_CANDIDATES) -> None:
        self.blocks = blocks
        self.candidates = check_candidates(tuple(candidates))
        if blocks < 1:
            raise ValueError(f"{type(self).__name__}(blocks={blocks}): give at least 1.")
        if "none" in self.candidates:
            name = type(self).__name__
            raise ValueError(f"{name}(candidates={list(candidates)}): leave out 'none'; a block has two inputs.")

    @cached_property
    def groups(self) -> Mapping[str, EdgeGroup]:
        edges = tuple(Edge(node, source, slot) for node in self._nodes for slot in (0, 1) for source in range(node))
        return {name: EdgeGroup(name, edges, self.candidates) for name in ("normal", "reduce")}

    @property
    def _nodes(self) -> range:
        return range(2, 2 + self.blocks)

    def _blocks(self) -> Iterator[tuple[str, int]]:
        """Each block as the beginning of its decisions' names, and its node."""
        for name in self.groups:
            for node in self._nodes:
                yield f"{name}.{node}", node

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        found = []
        for block, node in self._blocks():
            sources = tuple(str(source) for source in range(node))
            found += [Decision(f"{block}.input{slot}", sources) for slot in (0, 1)]
            found += [Decision(f"{block}.op{slot}", self.candidates) for slot in (0, 1)]
        return tuple(found)

    def selection(self, genotype: Genotype) -> dict[str, tuple[int | None, ...]]:
        choices = genotype.as_mapping()

        def column(group: str, edge: Edge) -> int | None:
            block = f"{group}.{edge.node}"
            if choices[f"{block}.input{edge.slot}"] != str(edge.source):
                return None
            return self.candidates.index(choices[f"{block}.op{edge.slot}"])

        return {name: tuple(column(name, edge) for edge in group.edges) for name, group in self.groups.items()}

    def discretize(self, probabilities: Mapping[str, Tensor]) -> Genotype:
        """In each slot the source with the strongest operation, and that operation; ties go to the first."""
        choices: dict[str, str] = {}
        for name, group in self.groups.items():
            strongest: dict[tuple[int, int | None], float] = {}
            for edge, row in zip(group.edges, probabilities[name].tolist(), strict=True):
                strength, slot = max(row), (edge.node, edge.slot)
                if slot not in strongest or strength > strongest[slot]:
                    strongest[slot] = strength
                    choices[f"{name}.{edge.node}.input{edge.slot}"] = str(edge.source)
                    choices[f"{name}.{edge.node}.op{edge.slot}"] = self.candidates[row.index(strength)]
        return self.genotype(choices)

    def inclusion(self, probabilities: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Operations on edges of which one is drawn for each slot by its strength, that of its strongest operation."""
        counts = [node for node in self._nodes for _ in (0, 1)]  # a slot's edges lie side by side
        found = {}
        for name in self.groups:
            parts = torch.split(probabilities[name].amax(-1), counts)
            found[name] = torch.cat([shares(part) for part in parts]).unsqueeze(-1) * probabilities[name]
        return found

    def loose_ends(self, genotype: Genotype) -> dict[str, tuple[int, ...]]:
        """The states that each cell concatenates, by group."""
        cells = self.connections(self.check(genotype))
        return {name: loose_ends([edge for edge, _ in edges]) for name, edges in cells.items()}

    def optional_parts(self, supernet: nn.Module) -> Iterator[OptionalPart]:
        """Each weight for a state of a cell: a child has it if no block of that cell reads the state."""
        for cell, reader in cast(CellNetwork, supernet).readers():
            group = self.groups[cast(NasnetCell, supernet.get_submodule(f"cells.{cell}")).group_name]
            for state, name, share in state_weights(supernet, reader):
                rows = [row for row, edge in enumerate(group.edges) if edge.source == state]
                places = tuple((row, column) for row in rows for column in range(len(group.candidates)))
                yield OptionalPart(name, {group.name: places}, needed="none", share=share)

    def build(self, genotype: Genotype | None, skeleton: Skeleton, execution: Execution = Execution()) -> CellNetwork:
        if not isinstance(skeleton, CellSkeleton):
            raise ValueError(f"{type(self).__name__} builds on a CellSkeleton, not on a {type(skeleton).__name__}.")
        kept, supernet = self.kept(genotype), genotype is None

        def cell(before_last: int, last: int, channels: int, reduction: bool, reduced: bool) -> TwoInputCell:
            group, widths = self.groups["reduce" if reduction else "normal"], (before_last, last, channels)
            return NasnetCell(widths, group, kept[group.name], reduction, reduced, skeleton, supernet, execution)

        return CellNetwork(skeleton, cell, supernet, execution)

    def skeleton(self, **sizes: object) -> CellSkeleton:
        """A small network: 8 cells, 16 channels, CIFAR stem."""
        return CellSkeleton(**sizes)  # type: ignore[arg-type]

    def parse(self, text: str) -> Genotype:
        """The DARTS authors' format, `Genotype(normal=[('sep_conv_5x5', 1), ...], normal_concat=[...], ...)`.

        Raises:
            ValueError: the text has another form, or concatenates other states than the loose ends.
        """
        choices: dict[str, str] = {}
        for name, blocks in parse_cells(text, tuple(self.groups), concat=_text_ends).items():
            if len(blocks) != self.blocks or any(len(inputs) != 2 for inputs in blocks):
                inputs_of = [len(inputs) for inputs in blocks]
                raise ValueError(
                    f"The text's blocks in {name} have {inputs_of} inputs, the space's {self.blocks} 2 each."
                )
            for node, inputs in zip(self._nodes, blocks, strict=True):
                for slot, (operation, source) in enumerate(inputs):
                    choices[f"{name}.{node}.input{slot}"] = str(source)
                    choices[f"{name}.{node}.op{slot}"] = operation
        return self.genotype(choices)

    def format(self, genotype: Genotype) -> str:
        choices = self.check(genotype).as_mapping()
        cells: dict[str, list[Inputs]] = {name: [] for name in self.groups}
        for block, _ in self._blocks():
            pairs = [(choices[f"{block}.op{slot}"], int(choices[f"{block}.input{slot}"])) for slot in (0, 1)]
            cells[block.split(".")[0]].append(pairs)
        return format_cells(cells, concat=_text_ends)


def _text_ends(blocks: Sequence[Inputs]) -> tuple[int, ...]:
    return loose_ends([Edge(node, source) for node, inputs in enumerate(blocks, start=2) for _, source in inputs])
