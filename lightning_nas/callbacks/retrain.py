"""The config that trains what a search has found: a fit config of `NetworkTraining`, as plain data and as text."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.callbacks.run import data_of
from lightning_nas.config import Configurable, class_path, instantiate, to_plain
from lightning_nas.execution.reference import DropPath
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.files import expanded
from lightning_nas.search import SearchModule
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.network import NetworkTraining
from lightning_nas.training.schedules import DropPathSchedule
from lightning_nas.training.task import check_classes

Plain = dict[str, Any]


def read_template(path: str | Path, where: str = "StackCells(retrain={path!r})") -> Plain:
    """A fit config to fill in.

    Args:
        path: of the file.
        where: what to name in errors, with the place of the path.

    Raises:
        ValueError: no such file, no YAML, or no mapping with a `model` in it.
    """
    where = where.format(path=str(path))
    if not expanded(path).is_file():
        raise ValueError(f"{where}: no such file. Give a fit config of NetworkTraining, or None for the defaults.")
    try:
        template = yaml.safe_load(expanded(path).read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{where} cannot be read as YAML: {error}") from error
    model = template.get("model") if isinstance(template, Mapping) else None
    if not isinstance(template, Mapping) or not isinstance(model, Mapping) or "class_path" not in model:
        raise ValueError(f"{where} is no fit config: expected `model` with a class_path, such as NetworkTraining.")
    return dict(template)


def template_skeleton(template: Mapping[str, Any]) -> Skeleton | None:
    """The skeleton in a template; None if it has none.

    Raises:
        ValueError: what stands there is no skeleton.
    """
    plain = (template["model"].get("init_args") or {}).get("skeleton")
    if plain is None:
        return None
    skeleton = instantiate({"class_path": plain} if isinstance(plain, str) else plain)
    if not isinstance(skeleton, Skeleton):
        raise ValueError(
            f"The template's model.init_args.skeleton={plain!r} is no Skeleton: give class_path and init_args."
        )
    return skeleton


def check_sizes(owner: str, skeleton: Skeleton, searched: Skeleton) -> None:
    """Refuse a final network for other data than the search's.

    Args:
        owner: what to name in the error, such as `StackCells`.
        skeleton: of the final network.
        searched: of the search.

    Raises:
        MisconfigurationException: the classes or the channels of the images are others.
    """
    check_classes(skeleton, searched.classes)
    if skeleton.in_channels != searched.in_channels:
        raise MisconfigurationException(
            f"{owner}(skeleton=...) has in_channels={skeleton.in_channels}, but the data of the search has "
            f"{searched.in_channels} channels: set in_channels={searched.in_channels}."
        )


def search_parts(search: SearchModule, datamodule: LightningDataModule | None) -> Plain:
    """What the network that a search has found is trained with: its seed, space, task, and data if they can be told.

    Args:
        search: where genotypes are found.
        datamodule: what the fit of the search was given.
    """
    parts: Plain = {"seed_everything": search.seed, "space": search.space.config(), "task": search.task.config()}
    data = data_config(data_of(search, datamodule))
    return parts | ({"data": data} if data else {})


def retrain_config(
    parts: Mapping[str, Any], genotype: Genotype, skeleton: Skeleton, epochs: int, drop_path: float
) -> Plain:
    """A fit config for the network of a genotype, with the task, the seed and the data of the search.

    Args:
        parts: `search_parts` of the search that has found it.
        genotype: the architecture, written into the config.
        skeleton: sizes of the network.
        epochs: how long to train.
        drop_path: what `DropPathSchedule` leads to; 0 leaves the callback out, as for a network that cannot drop any.
    """
    arguments = {
        "space": parts["space"],
        "genotype": genotype.to_dict(),
        "skeleton": skeleton.config(),
        "task": parts["task"],
    }
    trainer: Plain = {"max_epochs": epochs}
    if drop_path > 0:
        schedule = {"class_path": class_path(DropPathSchedule), "init_args": {"probability": drop_path}}
        trainer["callbacks"] = [schedule]
    config: Plain = {
        "seed_everything": parts["seed_everything"],
        "model": {"class_path": class_path(NetworkTraining), "init_args": arguments},
    }
    return config | ({"data": parts["data"]} if "data" in parts else {}) | {"trainer": trainer}


def can_drop_paths(space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> bool:
    """Whether the network of a genotype has paths to drop.

    Raises:
        ValueError: the space does not build on the skeleton.
    """
    with torch.device("meta"):
        network = space.build(genotype, skeleton)
    return any(isinstance(module, DropPath) for module in network.modules())


def fill_template(template: Mapping[str, Any], config: Plain) -> Plain:
    """The template with what it lacks from `config`, and the found space, genotype and skeleton in any case."""
    filled = config | dict(template)
    filled["trainer"] = config["trainer"] | (template.get("trainer") or {})
    found = config["model"]["init_args"]
    fixed = {name: found[name] for name in ("space", "genotype", "skeleton")}
    filled["model"] = dict(template["model"])
    filled["model"]["init_args"] = found | (template["model"].get("init_args") or {}) | fixed
    return filled


def data_config(datamodule: LightningDataModule | None) -> Plain | None:
    """Config of a data module, of the inner one if it wraps another for a bilevel search; None if it cannot be told.

    A module that is no `Configurable` is written with the hyper-parameters that it saved.
    """
    inner = getattr(datamodule, "datamodule", datamodule)
    if isinstance(inner, Configurable):
        return inner.config()
    path = "" if inner is None else class_path(type(inner))
    if inner is None or "<locals>" in path or path.startswith("__main__."):
        return None
    try:
        saved = to_plain(dict(inner.hparams_initial), path)
    except ValueError:
        return None
    needed = [p.name for p in inspect.signature(type(inner)).parameters.values() if p.default is p.empty]
    return {"class_path": path, "init_args": saved} if set(needed) <= set(saved) else None


def config_text(config: Plain, path: Path, found_by: str, costs: Sequence[str] = ()) -> str:
    """The config as YAML under comments: what the network costs, and how to run it."""
    lines = [
        f"The network that {found_by} found{''.join(f', {cost}' for cost in costs)}.",
        "Relative paths below are as in the search, so run from the same folder:",
        f"  lightning-nas fit --config {path}",
    ]
    if "data" not in config:
        lines.append("Give the data too: its config could not be told from the search. Add the key `data` here:")
        lines.append("  data: {class_path: your.package.YourDataModule, init_args: {batch_size: 96}}")
    return "".join(f"# {line}\n" for line in lines) + yaml.safe_dump(config, sort_keys=False)
