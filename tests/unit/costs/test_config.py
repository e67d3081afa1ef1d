"""Costs in YAML, as the command line reads them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from jsonargparse import ArgumentParser, Namespace

from lightning_nas import Budget, CsvLatency, Macs, MeasuredLatency, TableLatency
from lightning_nas.config import instantiate

PAGE = Path(__file__).parents[3] / "docs" / "costs.md"


def parsed(costs: list[object]) -> Budget:
    parser = ArgumentParser()
    parser.add_subclass_arguments(Budget, "budget")
    config: Namespace = parser.parse_object({"budget": {"class_path": "Budget", "init_args": {"costs": costs}}})
    return parser.instantiate_classes(config).budget


def test_the_costs_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("latencies.csv").write_text("arch,pixel3\n")
    (block,) = (
        found for found in re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.M) if "Csv" in found
    )
    for found in (parsed(yaml.safe_load(block)).costs, [instantiate(cost) for cost in yaml.safe_load(block)]):
        assert [type(cost) for cost in found] == [Macs, TableLatency, CsvLatency]
        assert [cost.name for cost in found] == ["macs", "latency_ms", "phone_ms"]


def test_sizes_and_numbers() -> None:
    measured = {"device": "cpu", "batch_size": 4, "image_size": [24, 32], "threads": 1, "name": "cpu_ms"}
    (cost,) = parsed([{"class_path": "MeasuredLatency", "init_args": measured}]).costs
    assert isinstance(cost, MeasuredLatency)
    assert (cost.size, cost.batch_size, cost.threads, cost.name) == ((24, 32), 4, 1, "cpu_ms")
    (table,) = parsed([{"class_path": "TableLatency", "init_args": {"path": "table.json", "device": None}}]).costs
    assert isinstance(table, TableLatency)
    assert table.device is None
