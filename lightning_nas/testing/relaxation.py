"""What every relaxation must keep."""

from __future__ import annotations

import json

import torch
from torch import Tensor

from lightning_nas.architecture.edges import Architecture, Edge, EdgeGroup
from lightning_nas.architecture.relaxation import Relaxation
from lightning_nas.config import instantiate
from lightning_nas.runtime.seeding import generator

_EDGES = (Edge(2, 0), Edge(2, 1), Edge(3, 0), Edge(3, 1), Edge(3, 2))
GROUPS = {
    "normal": EdgeGroup("normal", _EDGES, ("none", "skip", "pool", "conv")),
    "reduce": EdgeGroup("reduce", _EDGES[:2], ("skip", "pool", "conv")),
}


class RelaxationContract:
    """Tests of a relaxation. Inherit it in a class whose name begins with `Test`, and override `relaxation`."""

    stochastic: bool = False
    """Whether different seeds give different architectures."""

    def relaxation(self) -> Relaxation:
        """The relaxation under test."""
        raise NotImplementedError("Override relaxation() to give the relaxation under test.")

    def parameters(self) -> dict[str, dict[str, Tensor]]:
        """Fresh architecture parameters of two groups of different shapes."""
        torch.manual_seed(0)
        relaxation = self.relaxation()
        return {
            name: {key: value.detach().requires_grad_() for key, value in relaxation.init(group).items()}
            for name, group in GROUPS.items()
        }

    def draw(self, parameters: dict[str, dict[str, Tensor]], seed: int = 0) -> Architecture:
        """The architecture of one seed."""
        architecture: Architecture = self.relaxation()(parameters, generator(seed, "contract"))
        return architecture

    def test_init(self) -> None:
        for name, group in GROUPS.items():
            found = self.parameters()[name]
            assert found
            assert all(value.is_floating_point() and bool(value.isfinite().all()) for value in found.values())
            assert "alpha" not in found or found["alpha"].shape == group.shape

    def test_values_and_active_candidates_fit_the_groups(self) -> None:
        architecture = self.draw(self.parameters())
        assert list(architecture) == list(GROUPS)
        for name, group in GROUPS.items():
            weights = architecture[name]
            assert weights.values.shape == group.shape
            assert bool(weights.values.isfinite().all())
            if weights.active is not None:
                assert len(weights.active) == group.shape[0]
                assert all(0 <= column < group.shape[1] for columns in weights.active for column in columns)

    def test_candidates_that_do_not_run_weigh_nothing(self) -> None:
        for weights in self.draw(self.parameters()).values():
            for row, columns in zip(weights.values.tolist(), weights.active or (), strict=weights.active is not None):
                assert all(value == 0 for column, value in enumerate(row) if column not in columns)

    def test_the_seed_alone_decides(self) -> None:
        parameters = self.parameters()
        draws = []
        for seed in range(10):
            first = self.draw(parameters, seed)
            torch.manual_seed(seed + 1)
            again = self.draw(parameters, seed)
            assert all(torch.equal(first[name].values, again[name].values) for name in first)
            assert all(first[name].active == again[name].active for name in first)
            draws.append(torch.cat([weights.values.detach().flatten() for weights in first.values()]))
        differ = any(not torch.equal(draws[0], other) for other in draws[1:])
        assert differ == self.stochastic, "set stochastic to say whether the seed matters"

    def test_probabilities_are_a_distribution_for_each_edge(self) -> None:
        relaxation = self.relaxation()
        for name, parameters in self.parameters().items():
            probabilities = relaxation.probabilities(parameters)
            assert probabilities.shape == GROUPS[name].shape
            assert not probabilities.requires_grad
            assert bool((probabilities >= 0).all())
            torch.testing.assert_close(probabilities.sum(-1), torch.ones(len(probabilities)))

    def test_gradients_reach_the_parameters(self) -> None:
        parameters = self.parameters()
        total = torch.zeros(())
        for weights in self.draw(parameters).values():
            total = total + (weights.values * torch.randn_like(weights.values)).sum()
        torch.autograd.backward(total)
        for name, group in parameters.items():
            for key, value in group.items():
                assert value.grad is not None, f"{name}.{key} has no gradient"
                assert bool(value.grad.isfinite().all())
                assert bool((value.grad != 0).any()), f"{name}.{key} has a zero gradient"

    def test_the_penalty_is_a_finite_scalar(self) -> None:
        penalty = self.relaxation().penalty(self.parameters())
        assert penalty.shape == ()
        assert bool(penalty.isfinite())

    def test_config_round_trip(self) -> None:
        relaxation = self.relaxation()
        again = instantiate(json.loads(json.dumps(relaxation.config())))
        assert type(again) is type(relaxation)
        assert again.config() == relaxation.config()
