"""Relaxations: what their weights are, beyond the contract that all keep."""

from __future__ import annotations

import pytest
import torch

from lightning_nas import EdgeGroup, GumbelHard, Softmax
from lightning_nas.architecture.edges import Edge

GROUP = EdgeGroup("cell", (Edge(1, 0), Edge(2, 0), Edge(2, 1)), ("a", "b", "c", "d"))


def test_parameters_start_small_and_random() -> None:
    alpha = torch.cat([Softmax().init(GROUP)["alpha"] for _ in range(100)])
    assert 0.9e-3 < float(alpha.std()) < 1.1e-3


def test_softmax_runs_everything() -> None:
    alpha = torch.randn(3, 4)
    weights = Softmax()({"cell": {"alpha": alpha}}, torch.Generator())["cell"]
    assert weights.active is None
    assert torch.equal(weights.values, alpha.softmax(-1))
    assert torch.equal(Softmax().probabilities({"alpha": alpha}), alpha.softmax(-1))


def test_gumbel_runs_what_was_drawn() -> None:
    parameters = {name: {"alpha": torch.randn(3, 4)} for name in ("normal", "reduce")}
    for inactive in (False, True):
        found = GumbelHard(inactive_gradient=inactive)(parameters, torch.Generator().manual_seed(0))
        for weights in found.values():
            assert weights.active == tuple((int(row.argmax()),) for row in weights.values)
            assert weights.inactive_gradient is inactive
        assert found["normal"].active != found["reduce"].active


def test_temperature_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"GumbelHard\(temperature=0\): give a positive number"):
        GumbelHard(temperature=0)
