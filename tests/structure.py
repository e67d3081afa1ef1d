"""The structure of a checkout in figures: files, their sizes, and how many a newcomer opens for three tasks.

    python tests/structure.py [CHECKOUT ...]

The files for a task are those that define some central names, and those that these import directly from the package.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from pathlib import Path

TASKS = {
    "a bug in the fast execution": ("SharedFanOut", "joint_norm", "EdgeCell", "SeparableConv", "Pool"),
    "a differentiable method": ("GdasSearch", "DifferentiableSearch", "Relaxation"),
    "a cost": ("Macs", "Cost"),
}


class Checkout:
    """The package in a folder: its files, the names that they define, and what they import."""

    def __init__(self, root: Path) -> None:
        self.package = root / "lightning_nas"
        self.trees = {file: ast.parse(file.read_text()) for file in sorted(self.package.rglob("*.py"))}
        self.files = [file for file in self.trees if file.name != "__init__.py"]

    def file_of(self, module: str) -> Path:
        """The file of a dotted name: a module, or the index of a package."""
        path = self.package.parent.joinpath(*module.split("."))
        return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

    def defining(self, module: str, name: str) -> Path:
        """The file that defines a name which a module shows, through the indexes of packages."""
        file = self.file_of(f"{module}.{name}")
        if file in self.trees:
            return file
        file = self.file_of(module)
        for node in ast.walk(self.trees[file]) if file.name == "__init__.py" else ():
            if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
                return self.defining(str(node.module), name)
        return file

    def imported(self, file: Path) -> set[Path]:
        """The files of the package whose names a file imports."""
        found = set()
        for node in ast.walk(self.trees[file]):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "lightning_nas":
                found |= {self.defining(str(node.module), alias.name) for alias in node.names}
        return found - {file}

    def opened_for(self, names: tuple[str, ...]) -> set[Path]:
        """The files that define the names, and what these import."""
        central = {
            file
            for file, tree in self.trees.items()
            for node in tree.body
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name in names
        }
        return central | {other for file in central for other in self.imported(file)}

    def figures(self) -> dict[str, str]:
        """What is printed, by label."""
        lines = [len(file.read_text().splitlines()) for file in self.files]
        importers = Counter(other for file in self.trees for other in self.imported(file) if file.name != "__init__.py")
        top = [path for path in self.package.iterdir() if path.suffix == ".py" and path.name != "__init__.py"]
        result = {
            "files, without package indexes": str(len(self.files)),
            "modules at the top, without the index": str(len(top)),
            "median lines of a file": f"{statistics.median(lines):.0f}",
            "files under 60 lines": f"{sum(n < 60 for n in lines) / len(lines):.0%}",
            "files with one importer": str(sum(importers[file] == 1 for file in self.files)),
        }
        for task, names in TASKS.items():
            opened = self.opened_for(names)
            places = {file.relative_to(self.package).parts[0] for file in opened}
            result[f"to read for {task}"] = f"{len(opened)} files in {len(places)} places"
        return result


def main() -> None:
    roots = [Path(word) for word in sys.argv[1:]] or [Path(__file__).parents[1]]
    columns = [Checkout(root.resolve()).figures() for root in roots]
    for label in columns[0]:
        print(f"{label:45}" + "".join(f"{column[label]:>28}" for column in columns))


if __name__ == "__main__":
    main()
