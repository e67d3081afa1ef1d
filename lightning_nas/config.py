"""The one recorder of init arguments, and the way back from plain data to objects.

Every part of a search (space, skeleton, relaxation, task, data, search module) is a `Configurable`: what it was
constructed with is kept, and can be written as plain `class_path` / `init_args`, the form that jsonargparse reads.
YAML, Python, `load_from_checkpoint` (weights only) and resume all go through this file, so they give equal
hyper-parameters.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from abc import ABCMeta
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from lightning.pytorch.core.mixins import HyperparametersMixin

_RECORD = "_init_arguments"
_PUBLIC = (
    "lightning_nas",
    "lightning_nas.spaces",
    "lightning_nas.data",
    "lightning_nas.callbacks",
    "lightning.pytorch.callbacks",
)
T = TypeVar("T")
_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class ConfigurableMeta(ABCMeta):
    """Records the arguments of every construction, after reviving those that are given as plain data."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        signature = inspect.signature(cls)
        bound = signature.bind(*args, **kwargs)  # a wrong argument fails here, with Python's own message
        for name, value in bound.arguments.items():
            kind = signature.parameters[name].kind
            if kind not in _VARIADIC:
                bound.arguments[name] = instantiate(value)
            elif kind is inspect.Parameter.VAR_KEYWORD:
                bound.arguments[name] = {key: instantiate(item) for key, item in value.items()}
        instance = super().__call__(*bound.args, **bound.kwargs)
        unnamed = [n for n, p in signature.parameters.items() if p.kind is inspect.Parameter.VAR_POSITIONAL]
        if any(bound.arguments.get(name) for name in unnamed):
            raise ValueError(f"{cls.__name__}(*{unnamed[0]}) cannot be recorded: give its constructor named arguments.")
        if not is_dataclass(cls):  # a dataclass is its own record
            bound.apply_defaults()
            named = {n: v for n, v in bound.arguments.items() if signature.parameters[n].kind not in _VARIADIC}
            object.__setattr__(instance, _RECORD, named | bound.kwargs)  # a class without __init__ has *args, **kwargs
        if isinstance(instance, HyperparametersMixin):
            instance.save_hyperparameters(init_args(instance))
        return instance

    @property
    def __signature__(cls) -> inspect.Signature:
        """Signature of `__init__` without `self`, which `__call__` above would otherwise hide."""
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]  # type: ignore[misc]
        return inspect.Signature(parameters)


class Configurable(metaclass=ConfigurableMeta):
    """Base of everything that can stand in a YAML file under `class_path` and `init_args`."""

    def config(self) -> dict[str, Any]:
        """Plain data from which `instantiate` makes an equal object.

        Example:
            >>> from lightning_nas import CellSkeleton
            >>> config = CellSkeleton(cells=5).config()
            >>> config["class_path"], config["init_args"]["cells"]
            ('lightning_nas.CellSkeleton', 5)
        """
        return {"class_path": class_path(type(self)), "init_args": init_args(self)}

    def recorded(self) -> dict[str, Any]:
        """Arguments that are written to a config; override to record a resolved value instead of the one given."""
        if is_dataclass(self):
            return {field.name: getattr(self, field.name) for field in fields(self) if field.init}
        return dict(getattr(self, _RECORD))


def class_path(cls: type) -> str:
    """Shortest public path from which `cls` can be imported, as the command line prints it.

    A package that re-exports the class stands for the file that defines it, so what was recorded still loads after the
    class has moved to another file.

    Example:
        >>> from lightning_nas.spaces import DartsSpace
        >>> class_path(DartsSpace)
        'lightning_nas.spaces.DartsSpace'
    """
    parts = cls.__module__.split(".")
    for length in range(1, len(parts)):
        package = ".".join(parts[:length])
        if getattr(sys.modules.get(package), cls.__qualname__, None) is cls:
            return f"{package}.{cls.__qualname__}"
    return f"{cls.__module__}.{cls.__qualname__}"


def init_args(instance: Any) -> dict[str, Any]:
    """Recorded arguments of a `Configurable` as plain data.

    Raises:
        ValueError: an argument has no plain form.
    """
    owner = type(instance).__name__
    return {name: to_plain(value, f"{owner}({name}=...)") for name, value in instance.recorded().items()}


def to_plain(value: Any, where: str = "value") -> Any:
    """`value` as dictionaries, lists, strings and numbers, which YAML, JSON and weights-only loading accept.

    Args:
        value: a plain value, a `Configurable`, a dataclass, an enum, a path, or a container of these.
        where: what to name in the error.

    Raises:
        ValueError: `value` has no plain form.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Configurable):
        return value.config()
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        return {name: to_plain(getattr(value, name), f"{where}.{name}") for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [to_plain(item, f"{where}[{index}]") for index, item in enumerate(items)]
    raise ValueError(
        f"{where} is a {type(value).__name__}, which cannot be written to a checkpoint or a YAML file. "
        "Derive its class from lightning_nas.Configurable, or give plain numbers, strings, lists and dictionaries."
    )


def foreign_config(part: HyperparametersMixin) -> dict[str, Any]:
    """Class and saved hyper-parameters of a Lightning part that is no `Configurable`, such as a user's data module.

    It is for reading: `instantiate` refuses it.
    """
    try:
        saved = to_plain(dict(part.hparams_initial))
    except ValueError:  # no plain form
        saved = {}
    return {"class_path": class_path(type(part)), "init_args": saved}


def instantiate(value: Any) -> Any:
    """Objects from the plain form that `Configurable.config` gives; anything else is returned as it is.

    Only subclasses of `Configurable` are constructed, so a checkpoint cannot call arbitrary code.

    Raises:
        ValueError: the class cannot be found or is no `Configurable`.
    """
    if not (isinstance(value, Mapping) and "class_path" in value and set(value) <= {"class_path", "init_args"}):
        return value
    cls = find_class(value["class_path"], Configurable)
    return cls(**{name: instantiate(item) for name, item in (value.get("init_args") or {}).items()})


def revive(cls: type[T], value: Any) -> T:
    """An object from itself, from its config, or from its bare arguments.

    Example:
        >>> from lightning_nas import CellSkeleton
        >>> revive(CellSkeleton, {"cells": 5}).cells
        5
    """
    found = instantiate(value)
    return found if isinstance(found, cls) else cls(**found)


def find_class(path: str, base: type[T]) -> type[T]:
    """The class at a dotted path, or with a bare name if it is public here or a callback of Lightning.

    Raises:
        ValueError: no such class, or none derived from `base`.
    """
    package, _, name = path.rpartition(".")
    for module_name in [package] if package else _PUBLIC:
        try:
            found = getattr(importlib.import_module(module_name), name, None)
        except ModuleNotFoundError:
            continue
        if isinstance(found, type) and issubclass(found, base):
            return found
    raise ValueError(
        f"class_path={path!r} names no class derived from {base.__module__.partition('.')[0]}.{base.__name__}. "
        "Check the spelling, and that the package which defines it can be imported."
    )
