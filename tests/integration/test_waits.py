"""How often the host waits for a GPU in a training step: once a draw and once a round, and for nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import LightningModule

from helpers.fake_gpu import GPU, waits_of_a_fit, watched
from lightning_nas import CellSkeleton, DartsSearch, EnasSearch, GdasSearch, NetworkTraining, StagedSkeleton
from lightning_nas.costs import ExpectedCost, Parameters
from lightning_nas.data import Bilevel, Digits, Phased
from lightning_nas.functional.augment import color_jitter
from lightning_nas.spaces import DartsSpace, EnasMacroSpace, MacroSkeleton, NasBench201Space, published

pytestmark = pytest.mark.slow

PAIR = DartsSpace(nodes=2)  # states that several edges read
SMALL = DartsSpace(nodes=1)  # on the meta device each operation costs a millisecond
CELLS = CellSkeleton(cells=3, channels=4, in_channels=1)
STAGES = StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)
LAYERS = MacroSkeleton(channels=4, in_channels=1)
LOSS = "memory.py"  # the loss of the step before: CUDA waits for its copy alone

WAITS: dict[str, Callable[[], object]] = {
    "item": lambda: torch.ones((), device=GPU).item(),
    "bool": lambda: bool(torch.ones((), device=GPU)),
    "list": lambda: torch.ones(3, device=GPU).tolist(),
    "to the host": lambda: torch.ones(3, device=GPU).cpu(),
    "to the device": lambda: torch.ones(3).to(GPU),
    "numbers": lambda: torch.tensor([1.0, 2.0], device=GPU),
    "number": lambda: torch.as_tensor(1.0, device=GPU),
    "like others": lambda: torch.ones(3, device=GPU).new_tensor([1.0]),
    "list as index": lambda: torch.ones(3, device=GPU)[[0, 1]],
    "index on the host": lambda: torch.ones(3, device=GPU)[torch.tensor([0, 1])],
}
NONE: dict[str, Callable[[], object]] = {
    "without blocking": lambda: torch.ones(3).to(GPU, non_blocking=True),
    "made there": lambda: torch.ones(3, device=GPU),
    "one index": lambda: torch.ones(3, device=GPU)[1],
    "host alone": lambda: torch.ones(3)[[0, 1]].tolist(),
}


@pytest.mark.parametrize("name", [*WAITS, *NONE])
def test_waits_are_seen(name: str) -> None:
    with watched() as waits:
        {**WAITS, **NONE}[name]()
    assert sum(waits.places.values()) == (name in WAITS)


def bilevel() -> Bilevel:
    return Bilevel(Digits(batch_size=32))


def phased() -> Phased:
    return Phased(Digits(batch_size=32, validation=0.2), weight_steps=4, sampler_steps=6)


def expecting(straight_through: bool) -> DartsSearch:
    cost = ExpectedCost(Parameters(), 3000, straight_through=straight_through)
    return DartsSearch(SMALL, CELLS, expected_cost=cost)


# Name: the module, its data, the batches that count, and waits a step by file, but for those of LOSS.
CASES: dict[str, tuple[Callable[[], LightningModule], Callable[[], Any], str, dict[str, float]]] = {
    "darts": (lambda: DartsSearch(PAIR, CELLS), bilevel, "all", {}),
    "darts, order 2": (lambda: DartsSearch(SMALL, CELLS, order=2), bilevel, "all", {}),
    "expected cost": (lambda: expecting(False), bilevel, "all", {}),
    "straight through": (lambda: expecting(True), bilevel, "all", {"differentiable.py": 2.0}),  # it extracts a genotype
    "gdas": (lambda: GdasSearch(NasBench201Space(), STAGES), bilevel, "all", {"gdas.py": 2.0}),
    "gdas, layers": (
        lambda: GdasSearch(EnasMacroSpace(layers=3), LAYERS, inactive_gradient=True), bilevel, "all", {"gdas.py": 2.0},
    ),
    "enas, weights": (
        lambda: EnasSearch(EnasMacroSpace(layers=3), LAYERS, round_size=2), phased, "train", {"base.py": 1.0},
    ),
    "enas, controller": (
        lambda: EnasSearch(EnasMacroSpace(layers=3), LAYERS, round_size=2), phased, "val",
        # In each round the scores and the entropy; the rest is logging, and a metric that is made for each path.
        {"base.py": 1.5, "weight_sharing.py": 2.0, "task.py": 1.0},
    ),
    "training": (lambda: NetworkTraining(*published("DARTS_V2"), CELLS), lambda: Digits(batch_size=32), "all", {}),
}  # fmt: skip


# Every comparison is true where there are no numbers.
@pytest.mark.filterwarnings("ignore:Total length of", "ignore:Encountered `nan`")
@pytest.mark.parametrize("name", CASES)
def test_a_step_waits_for_draws_alone(name: str, trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    make, data, kind, expected = CASES[name]
    settings = {key: value for key, value in trainer_kwargs.items() if key not in ("accelerator", "devices")}
    limits = {"limit_val_batches": 1, **({"limit_train_batches": 3} if kind == "all" else {})}
    places = waits_of_a_fit(make(), data(), kind, **limits, **settings)
    found: dict[str, float] = {}
    for place, count in places.items():
        file = place.split(":")[0]
        found[file] = found.get(file, 0.0) + count
    assert found.pop(LOSS, 0.0) <= 1.0
    assert found == expected, places


def test_augmentation_sends_its_constants_without_waiting() -> None:
    with watched() as waits:
        color_jitter(torch.ones(2, 3, 4, 4, device=GPU), torch.ones(2, 3, device=GPU), 0.2)
    assert not waits.places
