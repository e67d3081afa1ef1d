"""The direction of the imports, and what the package never contains."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lightning_nas"
FILES = sorted(PACKAGE.rglob("*.py"))

# What each part of the package may import of the package. A new part takes its place here.
GROUND = {"functional", "config"}
CORE = GROUND | {"genotype", "anchors", "edge", "child_fan_out", "fan_out", "optional_part"}
PARTS = CORE | {
    "norm",
    "skeleton",
    "space",
    "relaxation",
    "optimizer",
    "parallel",
    "picture",
    "task",
    "trial",
    "objectives",
    "sampler",
    "cost",
    "reward",
}
FITS = ("module", "step_log", "controller", "training", "inheritance", "reduced_fidelity", "path_score", "derivation")
TRAINING = PARTS | {*FITS, "data"}
EVALUATION = TRAINING | {"evaluator"}
SEARCH = EVALUATION | {"search"}
CALLBACKS = SEARCH | {"callbacks"}
METHODS = CALLBACKS | {"methods"}
ALL = METHODS | {"spaces", "testing", "chain", "export", "front", "cli", "__main__", "__init__"}
MAY_IMPORT = (
    dict.fromkeys(GROUND, GROUND)
    | {"data": GROUND | {"data"}}
    | dict.fromkeys(CORE - GROUND, CORE)
    | dict.fromkeys(PARTS - CORE, PARTS)
    | {"spaces": PARTS | {"spaces"}}
    | dict.fromkeys(FITS, TRAINING)
    | {"evaluator": EVALUATION, "search": SEARCH}
    | {
        "callbacks": CALLBACKS,
        "methods": METHODS,
        "testing": ALL - {"methods", "chain", "export", "front", "cli", "__main__"},
    }
    | dict.fromkeys(("__init__", "chain", "export", "front", "cli", "__main__"), ALL)
)


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(file: Path) -> Iterator[str]:
    """The dotted names that a file imports from the package, relative imports resolved."""
    package = ("lightning_nas", *file.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = (package[: len(package) - node.level + 1] if node.level else ()) + tuple(filter(None, [node.module]))
            names = [".".join((*base, alias.name)) for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "lightning_nas")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_point_down(file: Path) -> None:
    part = part_of(file)
    assert part in MAY_IMPORT, f"{file.name}: give lightning_nas.{part} its place in MAY_IMPORT"
    for name in imported(file):
        target = [*name.split("."), "__init__"][1]
        if not ((PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").is_file()):
            target = "__init__"  # a name of the root, as in `from lightning_nas import DartsSearch`
        assert target in MAY_IMPORT[part], f"{file.relative_to(PACKAGE)} ({part}) must not import {name}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_forbidden(file: Path) -> None:
    assert file.name != "utils.py", f"{file.relative_to(PACKAGE)}: name the file after what it holds"
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            place = f"{file.relative_to(PACKAGE)}:{node.lineno}"
            assert getattr(node.func, "id", "") not in {"eval", "exec"}, f"{place}: neither eval nor exec"
            assert getattr(node.func, "attr", "") != "cuda", f"{place}: the Trainer places tensors, not .cuda()"
