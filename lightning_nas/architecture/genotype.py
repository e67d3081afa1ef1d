"""Genotypes: the only discrete encoding of an architecture."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lightning_nas.runtime.files import expanded, write_atomically


@dataclass(frozen=True)
class Genotype:
    """One option for each active decision of a space: frozen, hashable, readable and writable as YAML or JSON.

    Args:
        space: name of the space's class, so that a file of another space is recognised.
        choices: (decision, option) in the order of the space's decisions.

    Example:
        >>> genotype = Genotype("DartsSpace", (("normal.2.inputs", "0,1"),))
        >>> Genotype.from_dict(genotype.to_dict()) == genotype, genotype["normal.2.inputs"]
        (True, '0,1')
    """

    space: str
    choices: tuple[tuple[str, str], ...]

    def __getitem__(self, decision: str) -> str:
        return self.as_mapping()[decision]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.choices)

    def as_mapping(self) -> dict[str, str]:
        """Choices by decision name."""
        return dict(self.choices)

    def distance(self, other: Genotype) -> int:
        """Number of decisions in which two genotypes differ (Hamming distance; a missing decision differs)."""
        mine, theirs = self.as_mapping(), other.as_mapping()
        return sum(mine.get(name) != theirs.get(name) for name in mine.keys() | theirs.keys())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for YAML, JSON and checkpoints."""
        return {"space": self.space, "choices": self.as_mapping()}

    @classmethod
    def from_dict(cls, data: Any, source: str = "genotype") -> Genotype:
        """The genotype in plain data.

        Args:
            data: what `to_dict` gives.
            source: what to name in the error, such as the file's path.

        Raises:
            ValueError: `data` has another form.
        """
        if not isinstance(data, Mapping) or not isinstance(data.get("choices"), Mapping) or "space" not in data:
            raise ValueError(
                f"{source} is not a complete genotype: expected the keys 'space' and 'choices'. "
                "The file may be cut short; write it again with Genotype.save or the ExtractGenotype callback."
            )
        return cls(str(data["space"]), tuple((str(name), str(option)) for name, option in data["choices"].items()))

    def save(self, path: str | Path) -> None:
        """Write atomically as JSON (suffix .json) or YAML (any other suffix)."""
        data = self.to_dict()
        is_json = Path(path).suffix == ".json"
        write_atomically(path, json.dumps(data, indent=2) if is_json else yaml.safe_dump(data, sort_keys=False))

    @classmethod
    def load(cls, path: str | Path) -> Genotype:
        """Read a file that `save` wrote.

        Raises:
            ValueError: the file is missing, cut short, or holds something else.
        """
        file = expanded(path)
        if not file.is_file():
            raise ValueError(f"genotype={str(path)!r}: no such file. Give the path that ExtractGenotype wrote.")
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8"))  # JSON is YAML
        except UnicodeDecodeError as error:
            raise ValueError(
                f"genotype={str(path)!r} is no text in UTF-8 ({error.reason}): give the file that ExtractGenotype "
                "wrote, not a checkpoint, and save it as UTF-8 if an editor has changed it."
            ) from error
        except yaml.YAMLError as error:
            raise ValueError(f"genotype={str(path)!r} cannot be read as YAML or JSON: {error}") from error
        return cls.from_dict(data, f"genotype={str(path)!r}")
