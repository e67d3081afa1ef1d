"""`lightning-nas front`: the table of a front, and the config that trains one of its networks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lightning_nas.callbacks.retrain import (
    can_drop_paths,
    check_sizes,
    config_text,
    fill_template,
    read_template,
    retrain_config,
    template_skeleton,
)
from lightning_nas.config import instantiate
from lightning_nas.costs.budget import number
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.pareto.front import Condition, Front, Member, pick
from lightning_nas.runtime.files import expanded, write_atomically

_RETRAIN = "--retrain {path!r}"


def skeleton_of(front: Front, retrain: str | None) -> Skeleton:
    """Sizes of the network that is trained: those in the template, or else those that costs are counted with."""
    found = None if retrain is None else template_skeleton(read_template(retrain, _RETRAIN))
    return found or instantiate(front.network["skeleton"])


def retrain_text(
    front: Front, member: Member, path: Path, retrain: str | None = None, epochs: int = 600, drop_path: float = 0.2
) -> str:
    """The fit config that trains a member, as text.

    Args:
        front: that the member is of.
        member: whose network is trained.
        path: where the text will stand.
        retrain: a fit config of `NetworkTraining` to fill in, as `StackCells` takes it; its skeleton is that of the
            network, if it has one. None: the skeleton that the costs of the front are counted with.
        epochs: how long to train, where the template does not say.
        drop_path: probability that the drop path schedule leads to, where the template does not say.

    Raises:
        ValueError: the template cannot be read, or the space does not build on the skeleton.
        MisconfigurationException: the network does not fit the data of the search.
    """
    template = None if retrain is None else read_template(retrain, _RETRAIN)
    skeleton = skeleton_of(front, retrain)
    space, searched = instantiate(front.network["space"]), instantiate(front.network["skeleton"])
    if not (template and "data" in template):
        check_sizes("--retrain: NetworkTraining", skeleton, searched)
    droppable = can_drop_paths(space, member.genotype, skeleton)
    config = retrain_config(front.network, member.genotype, skeleton, epochs, drop_path if droppable else 0.0)
    filled = fill_template(template, config) if template else config
    figures = [f"{name}: {number(member.metrics[name])}" for name in front.objectives]
    return config_text(filled, path, front.search, figures if skeleton == searched else ())


def write_config(path: Path, text: str, overwrite: bool) -> None:
    """Write the config, but not over another one.

    Raises:
        ValueError: another one is there, and is not to be overwritten.
    """
    if path.exists() and not overwrite and path.read_text() != text:
        raise ValueError(f"{path} is there already: give another --output, or --overwrite to replace it.")
    write_atomically(path, text)


def table(front: Front, chosen: Member | None = None) -> str:
    """The front as text, one line a member; the chosen one has a star."""
    header, *rows = front.rows()
    cells = [[str(cell) for cell in header]]
    for row in rows:
        cells.append([number(cell) if isinstance(cell, (int, float)) else str(cell) for cell in row])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    marks = [" ", *("*" if member == chosen else " " for member in front.members)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in cells]
    return "\n".join(f"{mark} {line}" for mark, line in zip(marks, lines, strict=True))


def front_from_command_line(words: Sequence[str]) -> None:
    """`lightning-nas front`; a mistake ends it with one message, and nothing is written."""
    parser = _parser()
    settings = parser.parse_args(list(words))
    try:
        if settings.epochs < 1:
            raise ValueError(f"--epochs {settings.epochs}: give at least 1.")
        if not 0.0 <= settings.drop_path < 1.0:
            raise ValueError(f"--drop-path {settings.drop_path}: give a number in [0, 1).")
        front = Front.load(settings.front)
        conditions = [Condition.parse(text) for texts in settings.pick for text in texts.split(",")]
        if not (conditions or settings.best):
            print(table(front))
            return
        chosen, beside = pick(front, conditions, settings.best), expanded(settings.front)
        path = settings.output or (beside if beside.is_dir() else beside.parent) / "retrain.yaml"
        text = retrain_text(front, chosen, path, settings.retrain, settings.epochs, settings.drop_path)
        write_config(path, text, settings.overwrite)
    except ValueError as error:
        parser.error(str(error))
    print(table(front, chosen))
    if (trained := skeleton_of(front, settings.retrain)) != instantiate(front.network["skeleton"]):
        print(f"Costs above are those on {instantiate(front.network['skeleton'])}; {settings.retrain} has {trained}.")
    print(f"Wrote the network of trial {chosen.trial}: lightning-nas fit --config {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lightning-nas front",
        description="Show the front that the callback ParetoFront has kept, and with --pick or --best write the "
        "retrain.yaml of one network.",
    )
    parser.add_argument("front", metavar="FOLDER", help="log folder of the search, or its front.json")
    parser.add_argument(
        "--pick", action="append", default=[], metavar="CONDITIONS", help="such as 'latency_ms<5,params<=1e6'"
    )
    parser.add_argument("--best", metavar="METRIC", help="the objective to choose by; the first one if it is left out")
    parser.add_argument("--retrain", metavar="FILE", help="a fit config of NetworkTraining to fill in")
    parser.add_argument("--epochs", type=int, default=600, help="how long to train, where --retrain does not say")
    parser.add_argument("--drop-path", type=float, default=0.2, help="where --retrain does not say")
    parser.add_argument("--output", type=Path, metavar="FILE", help="what to write; retrain.yaml beside the front")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that is there")
    return parser
