"""The text format in which cells are published: `Genotype(normal=[('sep_conv_3x3', 0), ...], normal_concat=...)`.

It is read with `ast`; nothing is evaluated.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias, cast

import yaml

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.spaces.base import SearchSpace

Inputs = list[tuple[str, int]]
"""(operation, source) of each input of one node."""

Concat: TypeAlias = Callable[[Sequence[Inputs]], tuple[int, ...]]
"""The states that a cell concatenates, given its nodes."""


def parse_cells(text: str, groups: Sequence[str], concat: Concat) -> dict[str, list[Inputs]]:
    """Nodes of each cell, by group; nothing is evaluated.

    Flat lists (DARTS), pairs of each node (AutoDL-Projects) and entries with a strength as third item are understood.

    Args:
        text: a call or a dictionary with the fields `<group>` and `<group>_concat`.
        groups: the groups to read; a field of another group must be absent or None.
        concat: the states that the space concatenates in a cell.

    Raises:
        ValueError: the text has another form.
    """
    fields = _fields(text)
    unread = [k for k, value in fields.items() if value is not None and not k.endswith("_concat") and k not in groups]
    if unread:
        raise ValueError(f"The genotype has a {unread[0]!r} cell, which this space does not search.")
    cells = {}
    for group in groups:
        if fields.get(group) is None:
            raise ValueError(f"The genotype's text has no {group!r} cell: {_shortened(text)}")
        cells[group] = _nodes(fields[group], group)
        expected = concat(cells[group])
        found = tuple(cast(Sequence[int], fields.get(f"{group}_concat", expected)))
        if found != expected:
            raise ValueError(f"{group}_concat={list(found)}: this space concatenates the nodes {list(expected)}.")
    return cells


def format_cells(cells: Mapping[str, list[Inputs]], concat: Concat) -> str:
    """The DARTS authors' format; a reduction cell that is not searched is None."""
    parts = []
    for group in ("normal", "reduce"):
        flat = [pair for inputs in cells[group] for pair in inputs] if group in cells else None
        parts.append(f"{group}={flat!r}, {group}_concat={list(concat(cells.get(group, ())))!r}")
    return f"Genotype({', '.join(parts)})"


def _fields(text: str) -> dict[str, object]:
    try:
        node = ast.parse(text.strip(), mode="eval").body
        if isinstance(node, ast.Call):
            return {str(keyword.arg): _literal(keyword.value) for keyword in node.keywords}
        found = ast.literal_eval(node)
    except (SyntaxError, ValueError) as error:
        raise ValueError(f"The genotype's text cannot be read ({error}): {_shortened(text)}") from error
    if not isinstance(found, dict):
        raise ValueError(f"The genotype's text is no call and no dictionary: {_shortened(text)}")
    return found


def _literal(node: ast.expr) -> object:
    is_range = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"
    if is_range and isinstance(node, ast.Call):
        return list(range(*(int(ast.literal_eval(argument)) for argument in node.args)))
    return ast.literal_eval(node)


def _nodes(value: object, group: str) -> list[Inputs]:
    try:
        entries = list(value)  # type: ignore[call-overload]
        if entries and isinstance(entries[0][0], str):
            entries = [entries[i : i + 2] for i in range(0, len(entries), 2)]
        return [[(str(entry[0]), int(entry[1])) for entry in node] for node in entries]
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(
            f"The {group!r} cell of the genotype's text is no list of (operation, source) pairs."
        ) from error


def _shortened(text: str) -> str:
    return text if len(text) < 80 else text[:77] + "..."


def genotype_text(space: SearchSpace, genotype: Genotype) -> str:
    """The published text format, or YAML where the space has none."""
    try:
        return space.format(genotype)
    except NotImplementedError:
        return yaml.safe_dump(genotype.to_dict(), sort_keys=False)
