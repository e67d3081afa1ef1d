"""The direction of the imports, and what the package never contains."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "lightning_nas"
FILES = sorted(PACKAGE.rglob("*.py"))

# A folder may import of those before it and of itself alone; a new folder takes its place here.
ORDER = (
    "config",
    "runtime",
    "functional",
    "data",
    "architecture",
    "execution",
    "networks",
    "spaces",
    "training",
    "trials",
    "samplers",
    "inheritance",
    "evaluators",
    "costs",
    "pareto",
    "search",
    "methods",
    "reports",
    "callbacks",
    "export",
    "cli",
    "testing",
    "__main__",
    "__init__",
)
# What builds on the interfaces of spaces and of searches knows no space and no method of a paper.
CONCRETE = {"spaces": {"base", "text"}, "methods": set[str]()}
KNOW_INTERFACES = set(ORDER[ORDER.index("training") :]) - {"cli", "testing", "__init__"}
TOP = {"__init__.py", "__main__.py", "config.py", "py.typed"}
MOST_FILES, LEAST_MEDIAN = 145, 130


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
def test_imports_point_to_the_front(file: Path) -> None:
    part = part_of(file)
    assert part in ORDER, f"{file.name}: give lightning_nas.{part} its place in ORDER"
    for name in imported(file):
        if name == "lightning_nas":
            continue  # for its version
        target, *rest = [*name.split("."), "__init__"][1:]
        if not ((PACKAGE / target).is_dir() or (PACKAGE / f"{target}.py").is_file()):
            target = "__init__"  # a name of the root, as in `from lightning_nas import DartsSearch`
        place = f"{file.relative_to(PACKAGE)} ({part}) must not import {name}"
        assert ORDER.index(target) <= ORDER.index(part), place
        if target in CONCRETE and target != part and part in KNOW_INTERFACES:
            assert rest[0] in CONCRETE[target], f"{place}: of {target} only {sorted(CONCRETE[target]) or 'nothing'}"


def test_few_files_worth_opening() -> None:
    """What a newcomer meets: three modules at the top, and files that hold a concept each."""
    assert {path.name for path in PACKAGE.iterdir() if path.is_file()} == TOP
    sizes = {file: len(file.read_text().splitlines()) for file in FILES if file.name != "__init__.py"}
    assert len(sizes) <= MOST_FILES
    assert statistics.median(sizes.values()) >= LEAST_MEDIAN
    small = [str(file.relative_to(PACKAGE)) for file, lines in sizes.items() if lines < 50]
    assert not small, f"{small}: an interface of under 50 lines stands with what it is for"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_forbidden(file: Path) -> None:
    assert file.name != "utils.py", f"{file.relative_to(PACKAGE)}: name the file after what it holds"
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call):
            place = f"{file.relative_to(PACKAGE)}:{node.lineno}"
            assert getattr(node.func, "id", "") not in {"eval", "exec"}, f"{place}: neither eval nor exec"
            assert getattr(node.func, "attr", "") != "cuda", f"{place}: the Trainer places tensors, not .cuda()"


def test_unit_tests_mirror_the_package() -> None:
    unit = Path(__file__).parent
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {"__pycache__"}
    mirrored = {path.name for path in unit.iterdir() if path.is_dir()} - {"__pycache__"}
    assert mirrored <= folders, f"{sorted(mirrored - folders)}: tests/unit has the folders of the package"
    missing = folders - mirrored - {"testing", "methods"}  # tested by tests/contracts, the presets with their families
    assert not missing, f"{sorted(missing)}: no unit tests"


def test_no_test_imports_from_another_test() -> None:
    tests = Path(__file__).parents[1]
    suites = {path.name for path in tests.iterdir() if path.is_dir()} - {"helpers", "reference", "__pycache__"}
    for file in tests.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                first, *rest = name.split(".")
                assert first not in suites, f"{file.name}: what {name} has for several tests belongs into tests/helpers"
                assert not any(part.startswith("test_") for part in [first, *rest]), f"{file.name} imports {name}"
