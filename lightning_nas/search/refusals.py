"""What a search of children refuses before it starts."""

from __future__ import annotations

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException


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
