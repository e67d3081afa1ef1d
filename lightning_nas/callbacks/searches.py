"""What callbacks ask of the module that they are given."""

from __future__ import annotations

import torch
import yaml
from lightning.pytorch import Callback, LightningDataModule, LightningModule
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.genotype import Genotype
from lightning_nas.search import DifferentiableSearch, MultiTrialSearch, SearchModule, WeightSharingSearch
from lightning_nas.space import SearchSpace


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


def as_multi_trial(module: LightningModule, callback: Callback) -> MultiTrialSearch:
    """The module itself, if it is a search that trains children.

    Raises:
        MisconfigurationException: it is none.
    """
    if not isinstance(module, MultiTrialSearch):
        raise MisconfigurationException(
            f"{type(callback).__name__} needs a search that trains children, but the model is a "
            f"{type(module).__name__}: remove the callback, or search with a MultiTrialSearch such as RandomSearch."
        )
    return module


def sound_genotype(search: SearchModule) -> Genotype | None:
    """The genotype at present; None if it would mean nothing.

    So it is with architecture parameters that are not finite, before the first child that did not fail, and before the
    first derivation from a supernet that is shared.
    """
    if isinstance(search, WeightSharingSearch) and not search.candidates:
        return None
    if isinstance(search, MultiTrialSearch) and search.best is None:
        return None
    if isinstance(search, DifferentiableSearch):
        probabilities = search.probabilities().values()
        if not all(bool(torch.isfinite(values).all()) for values in probabilities):
            return None
    return search.derive()


def data_of(search: SearchModule, given: LightningDataModule | None) -> LightningDataModule | None:
    """The data that the networks of a search are trained on; None if there is none that is known.

    Args:
        search: the search.
        given: what its own fit is given; that of a search that trains children has nothing, since the children have it.
    """
    if isinstance(search, MultiTrialSearch):
        return getattr(search.evaluator, "datamodule", None)
    return given


def genotype_text(space: SearchSpace, genotype: Genotype) -> str:
    """The published text format, or YAML where the space has none."""
    try:
        return space.format(genotype)
    except NotImplementedError:
        return yaml.safe_dump(genotype.to_dict(), sort_keys=False)
