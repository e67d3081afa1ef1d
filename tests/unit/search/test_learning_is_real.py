"""Samplers learn: in a search with a known best genotype they find it long before random search would."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest

from helpers.known_children import Secret
from lightning_nas import (
    LogitsController,
    LstmController,
    MultiTrialSearch,
    Ppo,
    RegularizedEvolution,
    Reinforce,
    Sampler,
    UniformSampler,
)
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import NasBench201Space
from lightning_nas.training.optimizer import Adam

pytestmark = pytest.mark.slow

SPACE = NasBench201Space()
BUDGET = 600  # random search needs 15,625 on average
SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(1, 5))]


def adam(lr: float) -> Adam:
    return Adam(lr=lr, betas=(0.9, 0.999), weight_decay=0.0)


LEARNERS: dict[str, tuple[Callable[[], Sampler], int]] = {
    "logits-reinforce": (lambda: LogitsController(SPACE, Reinforce(), adam(0.1)), 10),
    "logits-ppo": (lambda: LogitsController(SPACE, Ppo(entropy_weight=0.01), adam(0.05)), 10),
    "lstm-reinforce": (lambda: LstmController(SPACE, rule=Reinforce(entropy_weight=0.01), optimizer=adam(0.01)), 10),
    "lstm-ppo": (lambda: LstmController(SPACE, rule=Ppo(entropy_weight=0.01), optimizer=adam(0.005)), 10),
    "evolution": (lambda: RegularizedEvolution(SPACE, population=20, sample=5), 1),
}


class StopAtTheOptimum(L.Callback):
    """Ends the fit once the secret was found."""

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *_: Any) -> None:
        trainer.should_stop = pl_module.best is not None and pl_module.best.reward == 1.0


def trials_until_found(
    make: Callable[[], Sampler], round_size: int, seed: int, trainer_kwargs: dict[str, Any]
) -> int | None:
    """How many children were needed; None: the budget did not do."""
    L.seed_everything(seed, verbose=False)
    secret = SPACE.sample(generator(seed, "secret")).as_mapping()
    search = MultiTrialSearch(
        make(), Secret(secret), trials=BUDGET, round_size=round_size, filename=f"{seed}/trials.jsonl"
    )
    L.Trainer(**trainer_kwargs, max_epochs=1, callbacks=[StopAtTheOptimum()]).fit(search)
    best = search.best
    return best.id + 1 if best is not None and best.genotype.as_mapping() == secret else None


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("learner", LEARNERS)
def test_the_optimum_is_found(learner: str, seed: int, trainer_kwargs: dict[str, Any]) -> None:
    assert trials_until_found(*LEARNERS[learner], seed, trainer_kwargs) is not None


@pytest.mark.parametrize("seed", SEEDS)
def test_random_search_does_not_find_it(seed: int, trainer_kwargs: dict[str, Any]) -> None:
    assert trials_until_found(lambda: UniformSampler(SPACE), 10, seed, trainer_kwargs) is None
