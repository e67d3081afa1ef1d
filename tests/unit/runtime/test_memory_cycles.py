"""Search steps leave no cycles of references behind, so that putting off the search for them keeps no memory."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch

from lightning_nas import CellSkeleton, DartsSearch, EnasSearch, GdasSearch
from lightning_nas.data import Digits, Phased
from lightning_nas.execution import Execution
from lightning_nas.runtime.memory import defer_garbage_collection
from lightning_nas.spaces import DartsSpace
from lightning_nas.testing import BoringData

pytestmark = pytest.mark.slow

SPACE, SKELETON = DartsSpace(nodes=2), CellSkeleton(cells=3, channels=4)


def test_setting_is_restored() -> None:
    def failing_step() -> None:
        with defer_garbage_collection():
            assert not gc.isenabled()
            raise KeyError

    with pytest.raises(KeyError):
        failing_step()
    assert gc.isenabled()


class Cycles(L.Callback):
    """Counts the values in tensors that only the search for cycles would free, batch by batch."""

    def __init__(self) -> None:
        self.enabled: set[bool] = set()
        self.found: list[int] = []

    def on_train_batch_start(self, *_: Any) -> None:
        gc.collect()
        gc.set_debug(gc.DEBUG_SAVEALL)

    def on_after_forward(self) -> None:
        self.enabled.add(gc.isenabled())

    def on_train_batch_end(self, *_: Any) -> None:
        gc.collect()
        gc.set_debug(0)
        self.found.append(sum(thing.numel() for thing in gc.garbage if isinstance(thing, torch.Tensor)))
        gc.garbage.clear()


def bilevel() -> BoringData:
    return BoringData(shape=(3, 12, 12), batches=4)


def phased() -> Phased:
    return Phased(Digits(batch_size=8, validation=0.2), weight_steps=2, sampler_steps=2)


CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "darts": (lambda: DartsSearch(SPACE, SKELETON), bilevel),
    "darts, order 2": (lambda: DartsSearch(SPACE, SKELETON, order=2), bilevel),
    "darts, cells twice": (
        lambda: DartsSearch(SPACE, SKELETON, execution=Execution(checkpoint_cells=True)),
        bilevel,
    ),
    "gdas": (lambda: GdasSearch(SPACE, SKELETON), bilevel),
    "enas": (
        lambda: EnasSearch(SPACE, CellSkeleton(cells=3, channels=4, in_channels=1), hidden=8, round_size=2),
        phased,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_steps_make_no_cycles_of_tensors(name: str, trainer_kwargs: dict[str, Any]) -> None:
    make, data = CASES[name]
    gc.freeze()  # what is there already is no part of a step; looking through it each time would take seconds
    try:
        search, cycles = make(), Cycles()
        search.supernet.register_forward_hook(lambda *_: cycles.on_after_forward())
        trainer = L.Trainer(max_epochs=1, max_steps=4, limit_val_batches=1, callbacks=[cycles], **trainer_kwargs)
        trainer.fit(search, datamodule=data())
    finally:
        gc.unfreeze()
    assert False in cycles.enabled
    assert len(cycles.found) == 4
    # A metric is a cycle, and the score of a path makes one: eight numbers.
    assert sum(cycles.found[1:]) <= (32 if name == "enas" else 0)


def test_cycles_are_seen() -> None:
    cycles = Cycles()
    cycles.on_train_batch_start()
    cycle: list[Any] = [torch.ones(7)]
    cycle.append(cycle)
    del cycle
    cycles.on_train_batch_end()
    assert cycles.found == [7]
