"""The file of a front, and the choice of one network of it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs.budget import number
from lightning_nas.runtime.files import expanded
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.spaces.text import genotype_text
from lightning_nas.trials.objectives import Direction
from lightning_nas.trials.trial import Trial


@dataclass(frozen=True)
class Member:
    """A network of a front.

    Args:
        trial: its number in the search: that of a child, the place of a candidate, or the epoch.
        genotype: its architecture.
        metrics: all that is known of it.
    """

    trial: int
    genotype: Genotype
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Front:
    """What `front.json` holds.

    Args:
        search: name of the search's class.
        objectives: "max" or "min" by metric.
        members: by the first objective, the best first.
        reference: what the hypervolume is measured from.
        curve: (number of the last trial, or the epoch; hypervolume), wherever it has changed.
        network: seed, space, task, skeleton and, if it is known, data: what a member is trained with.
    """

    search: str
    objectives: Mapping[str, Direction]
    members: tuple[Member, ...]
    reference: Mapping[str, float]
    curve: tuple[tuple[int, float], ...]
    network: Mapping[str, Any]

    def to_json(self) -> str:
        """The file's text."""
        members = [
            {"trial": m.trial, "metrics": dict(m.metrics), "genotype": m.genotype.to_dict()} for m in self.members
        ]
        content = {
            "search": self.search,
            "objectives": dict(self.objectives),
            "front": members,
            "hypervolume": {"reference": dict(self.reference), "curve": [list(point) for point in self.curve]},
            "network": dict(self.network),
        }
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str = "front.json") -> Front:
        """The front in a file's text.

        Args:
            text: what `to_json` gave.
            source: what to name in the error.

        Raises:
            ValueError: the text has another form.
        """
        try:
            content = json.loads(text)
            members = [
                Member(int(m["trial"]), Genotype.from_dict(m["genotype"]), dict(m["metrics"])) for m in content["front"]
            ]
            volume = content["hypervolume"]
            curve = tuple((int(step), float(value)) for step, value in volume["curve"])
            found = cls(
                str(content["search"]),
                dict(content["objectives"]),
                tuple(members),
                dict(volume["reference"]),
                curve,
                dict(content["network"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{source} is no front as the callback ParetoFront writes it ({error!r}).") from error
        return found

    @classmethod
    def load(cls, path: str | Path) -> Front:
        """The front in a file, or in `front.json` of a folder.

        Raises:
            ValueError: there is none.
        """
        file = expanded(path)
        file = file / "front.json" if file.is_dir() else file
        if not file.is_file():
            raise ValueError(f"{file}: no such file. Give a folder or a file that the callback ParetoFront wrote.")
        return cls.from_json(file.read_text(), str(file))

    def rows(self) -> list[list[object]]:
        """A header and a row for each member: its number, its objectives, then its other metrics."""
        names = list(dict.fromkeys([*self.objectives, *(name for member in self.members for name in member.metrics)]))
        rows: list[list[object]] = [["trial", *names]]
        for member in self.members:
            rows.append([member.trial, *(member.metrics.get(name, "") for name in names)])
        return rows

    def to_csv(self, space: SearchSpace) -> str:
        """The rows with the genotype as text in the last column."""
        header, *rows = self.rows()
        texts = [genotype_text(space, member.genotype) for member in self.members]
        text = io.StringIO()
        complete = [[*header, "genotype"], *([*row, t] for row, t in zip(rows, texts, strict=True))]
        csv.writer(text, lineterminator="\n").writerows(complete)
        return text.getvalue()


def members_of(trials: Sequence[Trial]) -> tuple[Member, ...]:
    """Trials as members of a front."""
    return tuple(Member(trial.id, trial.genotype, dict(trial.metrics)) for trial in trials)


_CONDITION = re.compile(r"\s*(?P<metric>[^<>=]+?)\s*(?P<operator><=|>=|<|>)\s*(?P<bound>[^<>=]+?)\s*")


@dataclass(frozen=True)
class Condition:
    """A bound of a metric.

    Args:
        metric: its name.
        operator: one of < <= > >=.
        bound: a number.

    Example:
        >>> condition = Condition.parse("latency_ms<5")
        >>> condition.holds(4.9), condition.miss(5.5)
        (True, 0.5)
    """

    metric: str
    operator: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Condition:
        """The condition in a text.

        Raises:
            ValueError: it is none.
        """
        found = _CONDITION.fullmatch(text)
        try:
            if found is None or math.isnan(bound := float(found["bound"])):
                raise ValueError
            return cls(found["metric"], found["operator"], bound)
        except ValueError:
            raise ValueError(
                f"--pick {text!r} is no condition: give a metric, one of < <= > >=, and a number, as in 'latency_ms<5'."
            ) from None

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bound."""
        return self.miss(value) < 0 or (self.miss(value) == 0 and self.operator.endswith("="))

    def miss(self, value: float) -> float:
        """By how much a value lies beyond the bound; negative on the right side."""
        return value - self.bound if self.operator.startswith("<") else self.bound - value

    def share(self, value: float) -> float:
        """The miss as a share of the bound, by which misses of several metrics compare; 0 if the bound is kept."""
        return 0.0 if self.holds(value) else self.miss(value) / (abs(self.bound) or 1.0)

    def complaint(self, value: float) -> str:
        """How a value breaks the bound."""
        side = "much" if self.operator.startswith("<") else "little"
        excess = f", {number(self.miss(value))} too {side}" if self.miss(value) else ", just the bound"
        return f"{self.metric} {number(value)}{excess}"


def pick(front: Front, conditions: Sequence[Condition], best: str | None = None) -> Member:
    """The best member of a front among those that keep all conditions.

    Args:
        front: where to choose.
        conditions: on any metrics of its members.
        best: the objective by which it is the best; None is the first one.

    Raises:
        ValueError: no such metric, or no member keeps the conditions; says by how much the nearest one misses.
    """
    best = best or next(iter(front.objectives))
    if best not in front.objectives:
        raise ValueError(f"--best {best!r} is no objective of this front: give one of {', '.join(front.objectives)}.")
    for condition in conditions:
        lacking = [member for member in front.members if condition.metric not in member.metrics]
        if lacking:
            known = ", ".join(lacking[0].metrics)
            raise ValueError(f"--pick: networks of this front have no {condition.metric!r}: they have {known}.")
    kept = [member for member in front.members if all(c.holds(member.metrics[c.metric]) for c in conditions)]
    if not kept:
        raise ValueError(_nothing_fits(front, conditions))
    sign = -1.0 if front.objectives[best] == "max" else 1.0
    return min(kept, key=lambda member: sign * member.metrics[best])


def _nothing_fits(front: Front, conditions: Sequence[Condition]) -> str:
    if not front.members:
        return "The front is empty."
    nearest = min(front.members, key=lambda member: max(c.share(member.metrics[c.metric]) for c in conditions))
    broken = [c for c in conditions if not c.holds(nearest.metrics[c.metric])]
    wanted = ", ".join(f"{c.metric}{c.operator}{number(c.bound)}" for c in conditions)
    missed = "; ".join(c.complaint(nearest.metrics[c.metric]) for c in broken)
    return f"No network of the front has {wanted}: the nearest one, trial {nearest.trial}, has {missed}."
