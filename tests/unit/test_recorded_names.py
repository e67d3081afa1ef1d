"""What is recorded names classes by public paths, so that it loads after they have moved to another file."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import lightning_nas
from lightning_nas.config import Configurable, class_path, find_class, instantiate

PACKAGES = [module.name for module in pkgutil.walk_packages(lightning_nas.__path__, "lightning_nas.") if module.ispkg]


def exported() -> Iterator[type[Configurable]]:
    """The classes that can be recorded, of all that packages show."""
    found: set[type[Configurable]] = set()
    for package in ["lightning_nas", *PACKAGES]:
        module = importlib.import_module(package)
        shown = [getattr(module, name) for name in getattr(module, "__all__", ())]
        found |= {item for item in shown if isinstance(item, type) and issubclass(item, Configurable)}
    yield from sorted(found, key=lambda cls: cls.__name__)


@pytest.mark.parametrize("cls", list(exported()), ids=lambda cls: cls.__name__)
def test_exported_classes_are_recorded_by_a_package(cls: type[Configurable]) -> None:
    module_name, _, name = class_path(cls).rpartition(".")
    module = importlib.import_module(module_name)
    assert hasattr(module, "__path__"), f"{module_name} is a file: export {name} from its package"
    assert name in module.__all__
    assert not any(part.startswith("_") for part in module_name.split("."))
    assert find_class(class_path(cls), Configurable) is cls


def test_every_space_and_search_is_among_them() -> None:
    names = {cls.__name__ for cls in exported()}
    assert {"DartsSpace", "GdasSearch", "CellSkeleton", "FitEvaluator", "ReducedFidelity", "Digits"} <= names


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's package `my_parts` that shows the class `Part` of a file."""
    folder = tmp_path / "my_parts"
    folder.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_parts"]:
        del sys.modules[name]


def imported_from(package: Path, file: str) -> ModuleType:
    """The package with its class in a file of this name, imported anew."""
    (package / f"{file}.py").write_text(
        "from lightning_nas import Configurable\n\n\nclass Part(Configurable):\n"
        "    def __init__(self, size: int = 1) -> None:\n        self.size = size\n"
    )
    (package / "__init__.py").write_text(f"from my_parts.{file} import Part\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_parts"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    return importlib.import_module("my_parts")


def test_a_record_loads_after_its_class_has_moved(package: Path) -> None:
    recorded = imported_from(package, "first").Part(size=3).config()
    assert recorded == {"class_path": "my_parts.Part", "init_args": {"size": 3}}
    (package / "first.py").unlink()
    moved = imported_from(package, "second")
    assert type(instantiate(recorded)) is moved.Part
    assert instantiate(recorded).size == 3


def test_a_class_that_no_package_shows_is_recorded_by_its_file(package: Path) -> None:
    part = imported_from(package, "first").Part
    (package / "__init__.py").write_text("")
    del sys.modules["my_parts"].Part
    assert class_path(part) == "my_parts.first.Part"


def test_a_name_that_means_something_else_does_not_stand_for_the_class(package: Path) -> None:
    part = imported_from(package, "first").Part
    sys.modules["my_parts"].Part = object  # type: ignore[attr-defined]
    assert class_path(part) == "my_parts.first.Part"
