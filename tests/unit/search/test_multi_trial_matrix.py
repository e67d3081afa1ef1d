"""Every method that trains children one by one, on every space, with real children."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from helpers.known_children import read_trials
from helpers.matrix import CHILD_METHODS, SPACES, pairs
from lightning_nas import (
    Fidelity,
    FitEvaluator,
)
from lightning_nas.config import instantiate
from lightning_nas.data import Digits


@pytest.mark.parametrize(("method", "space"), pairs(CHILD_METHODS, SPACES))
def test_all_children_are_trained(method: str, space: str, trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    children, fidelity = FitEvaluator(Digits(batch_size=64, validation=0.1)), Fidelity(epochs=1, share=0.1)
    arguments = {"fidelity": fidelity, "trials": 4, "round_size": 2}
    search = CHILD_METHODS[method](SPACES[space][0], children, SPACES[space][1], **arguments)
    again = instantiate(json.loads(json.dumps(search.config())))
    assert (type(again), again.config()) == (type(search), search.config())
    L.Trainer(**trainer_kwargs, max_epochs=1).fit(search)
    trials = read_trials(tmp_path)
    assert [(trial.id, trial.status, trial.reason) for trial in trials] == [(n, "complete", "") for n in range(4)]
    for trial in trials:
        assert trial.genotype in search.space
        assert trial.proposal.fidelity == fidelity
        assert 0.0 <= trial.metrics["val/accuracy"] <= 1.0
        assert trial.reward == pytest.approx(trial.metrics["val/accuracy"] ** (3 if method == "ReinforceSearch" else 1))
        assert {name: len(curve) for name, curve in trial.curves.items()} == dict.fromkeys(
            (name for name in trial.metrics if name not in search.costing.costs), 1
        )
    assert search.derive() in [trial.genotype for trial in trials]
