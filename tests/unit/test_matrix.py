"""Every method that trains a supernet, on every space that has one; with `test_multi_trial_matrix` the whole matrix."""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from unit import test_multi_trial_matrix as children

from lightning_nas import (
    DartsSearch,
    Derivation,
    EnasSearch,
    GdasSearch,
    RandomSharingSearch,
    SearchModule,
    SearchSpace,
    SinglePathSearch,
    Skeleton,
    SupernetSpace,
    WeightSharingSearch,
    methods,
    spaces,
)
from lightning_nas.config import instantiate
from lightning_nas.data import Bilevel, Digits, Phased
from lightning_nas.search import SupernetSearch

SPACES: dict[str, tuple[SupernetSpace, Skeleton]] = {
    name: (space, skeleton) for name, (space, skeleton) in children.SPACES.items() if isinstance(space, SupernetSpace)
}
FEW = Derivation(candidates=4, round_size=2)
METHODS: dict[str, Callable[..., SupernetSearch]] = {
    "DartsSearch(order=1)": partial(DartsSearch, order=1),
    "DartsSearch(order=2)": partial(DartsSearch, order=2),
    "GdasSearch": GdasSearch,
    "EnasSearch": partial(EnasSearch, derivation=FEW, round_size=2, hidden=8),
    "RandomSharingSearch": partial(RandomSharingSearch, derivation=FEW),
    "SinglePathSearch": partial(SinglePathSearch, population=4, sample=2, candidates=10, batches=1, recalibrate=1),
}
README = Path(__file__).parents[2] / "README.md"


def public(module: Any, kind: type) -> set[str]:
    """Concrete classes of a kind that a module lists."""
    listed = ((name, getattr(module, name)) for name in module.__all__)
    return {name for name, value in listed if inspect.isclass(value) and issubclass(value, kind)}


def name_of(method: str) -> str:
    return method.partition("(")[0]


def parts(search: SupernetSearch) -> dict[str, list[Tensor]]:
    """What has to move: the weights, and what the search learns besides."""
    weights = list(search.supernet.parameters())
    taken = {id(parameter) for parameter in weights}
    besides = [parameter for parameter in search.parameters() if id(parameter) not in taken]
    return {"weights": weights} | ({"besides": besides} if besides else {})


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("method", METHODS)
def test_a_supernet_is_searched(method: str, space: str, trainer_kwargs: dict[str, Any]) -> None:
    search = METHODS[method](*SPACES[space])
    again = instantiate(json.loads(json.dumps(search.config())))
    assert (type(again), again.config()) == (type(search), search.config())
    digits, shared = Digits(batch_size=32, validation=0.1), isinstance(search, WeightSharingSearch)
    data = (
        Phased(digits, 0.5, sampler_steps=4 * (method == "EnasSearch"), weight_steps=3) if shared else Bilevel(digits)
    )
    limits = {"limit_val_batches": 1} | ({} if shared else {"limit_train_batches": 2})
    before = {name: [p.detach().clone() for p in found] for name, found in parts(search).items()}
    trainer = L.Trainer(max_epochs=1, **trainer_kwargs, **limits)
    trainer.fit(search, datamodule=data)
    figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert {"train/loss", "val/loss", "val/accuracy", "val/accuracy_discrete"} <= set(figures)
    assert all(math.isfinite(value) for value in figures.values())
    assert ("besides" in before) == (not method.startswith(("Random", "SinglePath"))), "uniform paths learn nothing"
    for name, found in parts(search).items():
        assert any(not torch.equal(a, b) for a, b in zip(before[name], found, strict=True)), name
        assert all(bool(value.isfinite().all()) for value in found), name
    assert search.derive() in search.space


def test_every_space_and_every_method_has_a_place() -> None:
    assert set(children.SPACES) == public(spaces, SearchSpace)
    assert {name_of(method) for method in [*METHODS, *children.METHODS]} == public(methods, SearchModule)


def test_readme_shows_what_is_tested() -> None:
    section = README.read_text().partition("\n## Matrix\n")[2].partition("\n## ")[0]
    header, _, *rows = [
        [cell.strip() for cell in row.split("|")] for row in re.findall(r"^\|(.*)\|$", section, re.MULTILINE)
    ]
    columns = [cell.strip("`") for cell in header[1:]]
    shown = {
        (name_of(method.strip("`")), space)
        for method, *marks in rows
        for space, mark in zip(columns, marks, strict=True)
        if mark
    }
    one_by_one = {(method, space) for method in children.METHODS for space in children.SPACES}
    assert shown == one_by_one | {(name_of(method), space) for method in METHODS for space in SPACES}
    assert set(columns) == set(children.SPACES)
    assert [method.strip("`") for method, *_ in rows] == [*METHODS, *children.METHODS]
