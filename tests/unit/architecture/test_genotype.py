"""Decisions and genotypes: files, distance, and errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lightning_nas import Decision, Genotype
from lightning_nas.architecture.decisions import Condition

GENOTYPE = Genotype("Toy", (("depth", "2"), ("layer.1.kernel", "3x3")))


def test_reads_like_a_mapping() -> None:
    assert GENOTYPE["depth"] == "2"
    assert list(GENOTYPE) == [("depth", "2"), ("layer.1.kernel", "3x3")]
    assert GENOTYPE.as_mapping() == {"depth": "2", "layer.1.kernel": "3x3"}
    assert len({GENOTYPE, Genotype("Toy", GENOTYPE.choices)}) == 1


def test_distance_counts_decisions_that_differ_or_are_missing() -> None:
    assert GENOTYPE.distance(GENOTYPE) == 0
    assert GENOTYPE.distance(Genotype("Toy", (("depth", "1"),))) == 2
    assert Genotype("Toy", ()).distance(GENOTYPE) == 2


@pytest.mark.parametrize("option", ["yes", "null", "1.0", "0,1", "a: b", "é", "#"])
@pytest.mark.parametrize("suffix", [".yaml", ".json", ".txt"])
def test_files_keep_any_text(tmp_path: Path, suffix: str, option: str) -> None:
    genotype = Genotype("Toy", (("decision", option),))
    genotype.save(tmp_path / "deep" / f"genotype{suffix}")
    assert Genotype.load(tmp_path / "deep" / f"genotype{suffix}") == genotype
    assert [path.name for path in (tmp_path / "deep").iterdir()] == [f"genotype{suffix}"]


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_files_keep_the_order(tmp_path: Path, suffix: str) -> None:
    genotype = Genotype("Toy", (("b", "1"), ("a", "2"), ("c", "0")))
    genotype.save(tmp_path / f"genotype{suffix}")
    assert Genotype.load(tmp_path / f"genotype{suffix}").choices == genotype.choices


@pytest.mark.parametrize(
    "data", [None, [], "text", {}, {"space": "Toy"}, {"choices": {}}, {"space": "Toy", "choices": []}]
)
def test_other_data_is_no_genotype(data: Any) -> None:
    with pytest.raises(
        ValueError, match="genotype is not a complete genotype: expected the keys 'space' and 'choices'"
    ):
        Genotype.from_dict(data)


def test_file_errors_name_the_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"genotype='.*missing.yaml': no such file"):
        Genotype.load(tmp_path / "missing.yaml")
    (tmp_path / "broken.json").write_text('{"space": "Toy", "choices": {"depth"')
    with pytest.raises(ValueError, match=r"genotype='.*broken.json' cannot be read as YAML or JSON"):
        Genotype.load(tmp_path / "broken.json")
    (tmp_path / "short.yaml").write_text("space: Toy\n")
    with pytest.raises(ValueError, match=r"genotype='.*short.yaml' is not a complete genotype"):
        Genotype.load(tmp_path / "short.yaml")


def test_a_condition_makes_a_decision_count() -> None:
    decision = Decision("layer.2.kernel", ("1x1", "3x3"), Condition("depth", ("2", "3")))
    assert decision.active({"depth": "2"})
    assert not decision.active({"depth": "1"})
    assert not decision.active({})


def test_options_are_drawn_uniformly() -> None:
    decision, source = Decision("kernel", ("a", "b", "c")), torch.Generator().manual_seed(0)
    drawn = [decision.sample(source) for _ in range(600)]
    assert all(150 < drawn.count(option) < 250 for option in decision.options)
