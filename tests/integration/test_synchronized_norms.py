"""Norms that share their statistics: two processes with half of the images are one process with all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

WORKER = Path(__file__).with_name("sync_worker.py")
pytestmark = [pytest.mark.slow, pytest.mark.ddp]


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What both processes found."""
    folder = tmp_path_factory.mktemp("sync")
    words = [[sys.executable, str(WORKER), str(rank), str(folder)] for rank in range(2)]
    started = [subprocess.Popen(w, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for w in words]
    texts = [process.communicate(timeout=300)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(texts)[-3000:]
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
