"""Checks of trainers, data and numbers before a search starts."""

from __future__ import annotations

from collections.abc import Mapping

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.samplers import Sampler


def check_numbers(owner: str, trials: int, round_size: int, max_seconds: float | None, max_failures: int) -> None:
    """Refuse numbers that make no search.

    Args:
        owner: name of the search's class.
        trials: as in `MultiTrialSearch`.
        round_size: as in `MultiTrialSearch`.
        max_seconds: as in `MultiTrialSearch`.
        max_failures: as in `MultiTrialSearch`.

    Raises:
        ValueError: a number out of range, or trials that are not whole rounds.
    """
    for name, value in (("trials", trials), ("round_size", round_size), ("max_failures", max_failures)):
        if value < 1:
            raise ValueError(f"{owner}({name}={value}): give an integer of at least 1.")
    if trials % round_size:
        whole = trials // round_size * round_size
        raise ValueError(
            f"{owner}(trials={trials}, round_size={round_size}): trials must be whole rounds: give "
            f"{whole + round_size}{f' or {whole}' if whole else ''}."
        )
    if max_seconds is not None and max_seconds <= 0:
        raise ValueError(f"{owner}(max_seconds={max_seconds}): give a positive number, or None.")


def check_trainer(owner: str, trainer: Trainer, round_size: int) -> None:
    """Refuse settings that would not reach the children, and ranks without a child.

    Raises:
        MisconfigurationException: names the trainer's argument, its value and the remedy.
    """
    for name, usual in (("gradient_clip_val", None), ("accumulate_grad_batches", 1)):
        if (value := getattr(trainer, name)) not in (usual, 0):
            raise MisconfigurationException(
                f"Trainer({name}={value}) does not reach the children, which have trainers of their own: give it "
                f"to the evaluator, as in FitEvaluator(trainer={{{name!r}: {value}}})."
            )
    if trainer.world_size > round_size:
        raise MisconfigurationException(
            f"Trainer with {trainer.world_size} ranks and {owner}(round_size={round_size}): "
            f"some would never have a child to train. Set round_size={trainer.world_size} or more."
        )


def refuse_data(owner: str, given: str) -> MisconfigurationException:
    """The error for data that is given to the outer fit.

    Args:
        owner: name of the search's class.
        given: "a datamodule" or "dataloaders".
    """
    return MisconfigurationException(
        f"{owner} makes its own batches, one for each trial: call fit without {given}, and give the data to the "
        "evaluator, as in FitEvaluator(datamodule)."
    )


def check_phases(owner: str, trainer: Trainer, sampler: Sampler) -> None:
    """Refuse data without the two phases, and phases that do not fit the sampler.

    Args:
        owner: name of the search's class.
        trainer: its loaders are made.
        sampler: of the search.

    Raises:
        MisconfigurationException: names the argument, its value and the remedy.
    """
    steps = getattr(trainer.train_dataloader, "steps", None)
    if not isinstance(steps, Mapping) or set(steps) != {"train", "val"}:
        data = type(trainer.datamodule).__name__  # type: ignore[attr-defined]
        raise MisconfigurationException(
            f"datamodule={data}: {owner} trains weights and sampler in two phases of an epoch. Wrap the data "
            "module: Phased(datamodule, fraction=0.9, sampler_steps=300)."
        )
    learns = any(parameter.requires_grad for parameter in sampler.parameters())
    if learns and not steps["val"]:
        raise MisconfigurationException(
            f"Phased(sampler_steps=0) would never teach the {type(sampler).__name__}: give its phase a "
            "length, such as sampler_steps=300."
        )
    if not learns and steps["val"]:
        raise MisconfigurationException(
            f"Phased(sampler_steps={steps['val']}): a {type(sampler).__name__} learns nothing from these "
            "batches: set sampler_steps=0."
        )


def check_limits(owner: str, trainer: Trainer) -> None:
    """Refuse limits that would cut off the second phase or the derivation.

    Args:
        owner: name of the search's class.
        trainer: with its settings.

    Raises:
        MisconfigurationException: names the argument, its value and the remedy.
    """
    limit = trainer.limit_train_batches
    if not trainer.fast_dev_run and (isinstance(limit, int) or limit != 1.0):  # type: ignore[attr-defined]
        raise MisconfigurationException(
            f"Trainer(limit_train_batches={limit}) would cut off the sampler's phase, which comes last (so would "
            "overfit_batches, and ReducedFidelity(share=...)): set Phased(weight_steps=..., sampler_steps=...)."
        )
    if trainer.limit_val_batches == 0:
        raise MisconfigurationException(
            f"Trainer(limit_val_batches=0): {owner} derives its result on validation images: leave "
            "it out, and set Derivation(batches=...)."
        )
    every, epochs = trainer.check_val_every_n_epoch, trainer.max_epochs
    if every and epochs and epochs > 0 and epochs % every:
        raise MisconfigurationException(
            f"Trainer(max_epochs={epochs}, check_val_every_n_epoch={every}): {owner} derives its "
            "result on the validation images of the last epoch: give a number that divides max_epochs."
        )
