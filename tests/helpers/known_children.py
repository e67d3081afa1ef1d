"""Children that need no training, for tests of searches: the reward follows from the genotype."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning as L

from lightning_nas import Evaluator, MultiTrialSearch, Sampler
from lightning_nas.evaluators import Job
from lightning_nas.runtime.seeding import derive_seed
from lightning_nas.trials.trial import Evaluation, Trial


class KnownChildren(Evaluator):
    """A number in [0, 1) for each genotype, at a cost of one second; keeps the numbers of the trials that it has seen.

    Args:
        failing: trials that raise an error.
    """

    def __init__(self, failing: Sequence[int] = ()) -> None:
        self.failing = tuple(failing)
        self.calls: list[int] = []
        self.stops: dict[int, type[BaseException]] = {}

    def evaluate(self, job: Job) -> Evaluation:
        self.calls.append(job.trial)
        if job.trial in self.stops:
            raise self.stops[job.trial]
        if job.trial in self.failing:
            raise RuntimeError(f"broken by µ{job.trial % 2}")
        value = derive_seed(0, *(option for _, option in job.proposal.genotype)) % 1000 / 1000
        return Evaluation({"val/accuracy": value}, seconds=1.0)


class Secret(Evaluator):
    """The share of decisions that are those of a secret genotype.

    Args:
        choices: of the secret, by decision.
    """

    def __init__(self, choices: Mapping[str, str]) -> None:
        self.choices = dict(choices)

    def evaluate(self, job: Job) -> Evaluation:
        found = job.proposal.genotype.as_mapping()
        right = sum(found[name] == option for name, option in self.choices.items())
        return Evaluation({"val/accuracy": right / len(self.choices)}, seconds=0.0)


def run(
    sampler: Sampler, evaluator: Evaluator, trainer_kwargs: Mapping[str, Any], resume: Path | None = None, **more: Any
) -> MultiTrialSearch:
    """A search that has been fitted; `more` goes to the Trainer where it is one of its arguments `t_...`."""
    outer = {name[2:]: more.pop(name) for name in list(more) if name.startswith("t_")}
    search = MultiTrialSearch(sampler, evaluator, **more)
    L.Trainer(**{**trainer_kwargs, "max_epochs": 1, **outer}).fit(search, ckpt_path=resume)
    return search


def read_trials(folder: Path) -> list[Trial]:
    """The lines of `trials.jsonl`."""
    return [Trial.from_dict(json.loads(line)) for line in (folder / "trials.jsonl").read_text().splitlines()]
