"""The recorder of init arguments: from objects to plain data and back."""

from __future__ import annotations

import json
from enum import Enum
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from lightning_nas import (
    CellSkeleton,
    Classification,
    Configurable,
    DartsSearch,
    Genotype,
    GumbelHard,
    NetworkTraining,
    Norm,
    Sgd,
    Softmax,
)
from lightning_nas.config import find_class, instantiate, to_plain
from lightning_nas.spaces import DartsSpace


class Colour(Enum):
    RED = "red"


class Plain(Configurable):
    """No `__init__` of its own."""


class Part(Configurable):
    def __init__(self, first: Any, second: int = 2, *, third: Any = None) -> None:
        self.given = first, second, third


class Child(Part):
    def __init__(self, value: int) -> None:
        super().__init__(value, second=value + 1)


class Open(Configurable):
    def __init__(self, first: int, **others: Any) -> None:
        self.first, self.others = first, others


def test_records_what_was_given_and_the_defaults() -> None:
    assert Part(1, third=3).config()["init_args"] == {"first": 1, "second": 2, "third": 3}
    assert Child(5).config()["init_args"] == {"value": 5}


def test_a_class_without_init_has_no_arguments() -> None:
    for plain in (Plain(), Softmax()):
        assert plain.config()["init_args"] == {}
        assert type(instantiate(plain.config())) is type(plain)
    with pytest.raises(TypeError):
        Plain(3)  # type: ignore[call-arg]


def test_unnamed_arguments_are_refused() -> None:
    class Unnamed(Configurable):
        def __init__(self, *sizes: int) -> None:
            self.sizes = sizes

    assert Unnamed().sizes == ()
    with pytest.raises(ValueError, match=r"Unnamed\(\*sizes\) cannot be recorded"):
        Unnamed(1, 2)


def test_keywords_are_recorded_by_name() -> None:
    config = Open(1, size=2).config()
    assert config["init_args"] == {"first": 1, "size": 2}
    assert instantiate(config).others == {"size": 2}


@pytest.mark.parametrize(
    "part",
    [
        CellSkeleton(cells=5, norm=Norm(affine=False)),
        DartsSpace(nodes=3, reduction="fixed"),
        Sgd(lr=0.1, nesterov=True),
        GumbelHard(2.0, inactive_gradient=True),
        Classification(class_weights=[1.0, 2.0]),
        DartsSearch(DartsSpace(nodes=1), CellSkeleton(cells=1, channels=4), order=2),
    ],
    ids=lambda part: type(part).__name__,
)
def test_round_trip(part: Configurable) -> None:
    config = json.loads(json.dumps(part.config()))
    again = instantiate(config)
    assert type(again) is type(part)
    assert again.config() == config


def test_every_argument_but_a_function_is_recorded() -> None:
    search = DartsSearch(DartsSpace(nodes=1), CellSkeleton(cells=1, channels=4), order=2, clip=None, epochs=7)
    recorded = dict(search.hparams)
    assert set(recorded) == set(signature(DartsSearch).parameters) - {"extraction"}
    assert (recorded["order"], recorded["clip"], recorded["epochs"]) == (2, None, 7)


def test_arguments_may_be_given_as_plain_data() -> None:
    part = Part(CellSkeleton(cells=3).config())
    assert part.given[0] == CellSkeleton(cells=3)


def test_a_genotype_is_recorded_itself_not_its_file(tmp_path: Path) -> None:
    space = DartsSpace(nodes=1, candidates=["skip_connect"])
    genotype = space.genotype(
        {
            f"{g}.2.{x}": o
            for g in space.groups
            for x, o in (("inputs", "0,1"), ("op0", "skip_connect"), ("op1", "skip_connect"))
        }
    )
    genotype.save(tmp_path / "genotype.yaml")
    training = NetworkTraining(space, str(tmp_path / "genotype.yaml"), CellSkeleton(cells=1, channels=4))
    assert Genotype.from_dict(training.config()["init_args"]["genotype"]) == genotype
    (tmp_path / "genotype.yaml").unlink()
    assert instantiate(training.config()).genotype == genotype


def test_plain_values() -> None:
    value = {"a": (1, Path("b")), 2: Colour.RED, "c": {3, 1}, "d": Norm()}
    assert to_plain(value) == {
        "a": [1, "b"],
        "2": "red",
        "c": [1, 3],
        "d": {
            "class_path": "lightning_nas.Norm",
            "init_args": {"affine": True, "statistics": "running", "sync": False},
        },
    }


def test_what_has_no_plain_form_is_named() -> None:
    with pytest.raises(ValueError, match=r"Part\(first=...\)\['a'\]\[1\] is a function, which cannot be written"):
        Part({"a": [1, lambda: None]}).config()


def test_only_configurables_are_found() -> None:
    assert find_class("DartsSpace", Configurable) is DartsSpace
    assert find_class("lightning_nas.spaces.DartsSpace", Configurable) is DartsSpace
    for path in ("os.system", "builtins.dict", "NoSuchSpace", "no_such_package.Thing"):
        with pytest.raises(ValueError, match=f"class_path='{path}' names no class derived"):
            instantiate({"class_path": path})


def test_other_mappings_stay_as_they_are() -> None:
    value = {"class_path": "DartsSpace", "other": 1}
    assert instantiate(value) is value
    assert instantiate({"a": 1}) == {"a": 1}


def test_wrong_arguments_fail_with_pythons_own_message() -> None:
    with pytest.raises(TypeError, match="missing a required argument: 'first'"):
        Part()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'cell'"):
        CellSkeleton(cell=3)  # type: ignore[call-arg]
