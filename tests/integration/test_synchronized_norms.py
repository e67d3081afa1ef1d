"""Norms that share their statistics: two processes with half of the images are one process with all of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from helpers import sync_worker
from helpers.forks import Forks, environment, run_ranks

pytestmark = [pytest.mark.slow, pytest.mark.ddp]


@pytest.fixture(scope="module")
def ranks(forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What both processes found."""
    folder = tmp_path_factory.mktemp("sync")
    run_ranks(forks, [sync_worker.__file__, folder], folder, environment())
    return [torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in range(2)]


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_two_halves_are_a_whole(ranks: list[dict[str, Any]]) -> None:
    """Outputs, gradients of images and weights, second derivatives, running statistics."""
    assert len(ranks[0]) > 15
    for rank in ranks:
        for case, found in rank.items():
            for name, expected in found["whole"].items():
                torch.testing.assert_close(
                    found["together"][name],
                    expected,
                    rtol=1e-10,
                    atol=1e-10,  # float64; sums in another order
                    msg=lambda text, where=f"{case}, {name}": f"{where}: {text}",
                )
            assert largest_difference(found["together"], found["whole"]) < 1e-8, case


def test_without_it_they_are_not(ranks: list[dict[str, Any]]) -> None:
    for rank in ranks:
        for case, found in rank.items():
            if case != "norm, one image here":
                assert largest_difference(found["alone"], found["whole"]) > 1e-3, case
