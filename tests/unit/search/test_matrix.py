"""Every method that trains a supernet, on every space that has one; with `test_multi_trial_matrix` the whole matrix."""

from __future__ import annotations

import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from helpers.matrix import CHILD_METHODS, SPACES, SUPERNET_METHODS, SUPERNET_SPACES, pairs
from lightning_nas import (
    SearchModule,
    SearchSpace,
    WeightSharingSearch,
    methods,
    spaces,
)
from lightning_nas.config import instantiate
from lightning_nas.data import Bilevel, Digits, Phased
from lightning_nas.search import SupernetSearch

README = Path(__file__).parents[3] / "README.md"


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


@pytest.mark.parametrize(("method", "space"), pairs(SUPERNET_METHODS, SUPERNET_SPACES))
def test_a_supernet_is_searched(method: str, space: str, trainer_kwargs: dict[str, Any]) -> None:
    search = SUPERNET_METHODS[method](*SUPERNET_SPACES[space])
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
    assert set(SPACES) == public(spaces, SearchSpace)
    assert {name_of(method) for method in [*SUPERNET_METHODS, *CHILD_METHODS]} == public(methods, SearchModule)


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
    one_by_one = {(method, space) for method in CHILD_METHODS for space in SPACES}
    assert shown == one_by_one | {(name_of(method), space) for method in SUPERNET_METHODS for space in SUPERNET_SPACES}
    assert set(columns) == set(SPACES)
    assert [method.strip("`") for method, *_ in rows] == [*SUPERNET_METHODS, *CHILD_METHODS]
