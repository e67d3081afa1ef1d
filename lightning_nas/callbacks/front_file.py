"""The front of a search as files: JSON that holds all that one of its networks is trained with, and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_nas.callbacks.searches import genotype_text
from lightning_nas.genotype import Genotype
from lightning_nas.objectives import Direction
from lightning_nas.space import SearchSpace
from lightning_nas.trial import Trial


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
        file = Path(path).expanduser()
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
