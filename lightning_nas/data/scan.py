"""Image folders: their classes, parts and files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_nas.data.reading import EXTENSIONS, DataError
from lightning_nas.runtime.files import expanded

_VALIDATION = ("val", "valid", "validation")
_LAYOUTS = "Layouts: ROOT/<class>/*.jpg, or ROOT/{train,val,test}/<class>/*.jpg."


@dataclass(frozen=True)
class Files:
    """Image files with their classes.

    Args:
        paths: N files.
        targets: N class numbers.
    """

    paths: tuple[str, ...]
    targets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def pick(self, positions: Sequence[int]) -> Files:
        """The files at `positions`."""
        return Files(tuple(self.paths[i] for i in positions), tuple(self.targets[i] for i in positions))


@dataclass(frozen=True)
class Layout:
    """The labelled files under one folder.

    Args:
        class_names: in the order of their numbers, which is alphabetical.
        train: the training files, or all files where there are no parts.
        validation: files of the validation folder, if there is one.
        test: files of the test folder, if there is one.
    """

    class_names: tuple[str, ...]
    train: Files
    validation: Files | None = None
    test: Files | None = None


def scan(root: str | Path) -> Layout:
    """Classes and files under `root`, in either layout.

    Raises:
        DataError: no such folder, no images, an empty class folder, a single class, or a class without training images.
    """
    top = _existing(root, "root")
    train = top / "train"
    if not (train.is_dir() and folders(train)):
        names = _class_names(top)
        return Layout(names, _labelled(top, names))
    names = _class_names(train)
    validation = [top / name for name in _VALIDATION if (top / name).is_dir()]
    if len(validation) > 1:
        raise DataError(f"root={str(root)!r} has several validation folders: {[p.name for p in validation]}. Keep one.")
    test = top / "test"
    return Layout(
        names,
        _labelled(train, names),
        _labelled(validation[0], names) if validation else None,
        _labelled(test, names) if test.is_dir() else None,
    )


def images_under(root: str | Path, argument: str) -> tuple[str, ...]:
    """All image files in a folder and its sub-folders, sorted; hidden ones are passed over.

    Args:
        root: the folder.
        argument: what to name in the error.

    Raises:
        DataError: no such folder, or no image in it.
    """
    found = _images(_existing(root, argument))
    if not found:
        raise DataError(f"{argument}={str(root)!r} has no images (files ending in {', '.join(EXTENSIONS)}).")
    return found


def folders(top: Path) -> list[str]:
    """Names of the sub-folders, sorted; hidden ones and those that archives leave behind are passed over."""
    entries = (entry.name for entry in os.scandir(top) if entry.is_dir())
    return sorted(name for name in entries if not name.startswith((".", "__")))


def _images(top: Path) -> tuple[str, ...]:
    found = []
    for folder, below, files in os.walk(top):
        below[:] = [name for name in below if not name.startswith((".", "__"))]
        found += [f"{folder}{os.sep}{name}" for name in files if name.lower().endswith(EXTENSIONS) and name[0] != "."]
    return tuple(sorted(found))


def _existing(root: str | Path, argument: str) -> Path:
    top = expanded(root)
    if not top.is_dir():
        what = "is a file, not a folder" if top.exists() else "does not exist"
        raise DataError(f"{argument}={str(root)!r} {what} (looked at {top.absolute()}). Give the folder of the images.")
    return top


def _class_names(top: Path) -> tuple[str, ...]:
    names = tuple(folders(top))
    if not names:
        raise DataError(
            f"{top} has no class folders. Put the images of each class into a folder of its own. {_LAYOUTS}"
        )
    if len(names) == 1:
        raise DataError(f"{top} has only one class, {names[0]!r}; a classifier needs two or more. {_LAYOUTS}")
    return names


def _labelled(top: Path, names: tuple[str, ...]) -> Files:
    paths: list[str] = []
    targets: list[int] = []
    unknown = [name for name in folders(top) if name not in names]
    if unknown:
        raise DataError(f"{top / unknown[0]} is a class without training images. The classes are {list(names)}.")
    for number, name in enumerate(names):
        if not (top / name).is_dir():  # a class may be absent from validation or test
            continue
        found = _images(top / name)
        if not found:
            raise DataError(f"The class folder {top / name} has no images. Add some, or remove the folder.")
        paths += found
        targets += [number] * len(found)
    if not paths:
        raise DataError(f"{top} has no class folders with images. {_LAYOUTS}")
    return Files(tuple(paths), tuple(targets))
