"""What callbacks ask of the module that they are given."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningModule
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.genotype import Genotype
from lightning_nas.search import DifferentiableSearch, SearchModule


def as_search(module: LightningModule, callback: Callback) -> SearchModule:
    """The module itself, if it is a search.

    Raises:
        MisconfigurationException: it is none.
    """
    if not isinstance(module, SearchModule):
        raise MisconfigurationException(
            f"{type(callback).__name__} needs a search, but the model is a {type(module).__name__}: "
            "remove the callback, or train a SearchModule such as DartsSearch."
        )
    return module


def sound_genotype(search: SearchModule) -> Genotype | None:
    """The genotype at present; None if the architecture parameters are not finite, so that it would mean nothing."""
    if isinstance(search, DifferentiableSearch):
        probabilities = search.probabilities().values()
        if not all(bool(torch.isfinite(values).all()) for values in probabilities):
            return None
    return search.derive()
