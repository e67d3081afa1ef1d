"""The code that the documentation shows is run as it stands, in a folder outside the package."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from helpers.forks import Forks, environment, interpreter
from lightning_nas import CellSkeleton
from lightning_nas.config import instantiate
from lightning_nas.spaces import published, published_names

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"# (\w+\.py)\n")


def blocks(file: str) -> list[str]:
    found = BLOCK.findall((ROOT / file).read_text())
    assert found, f"{file} shows no Python"
    return found


def yaml_blocks(file: str) -> list[str]:
    return re.findall(r"^```yaml\n(.*?)^```$", (ROOT / file).read_text(), re.DOTALL | re.MULTILINE)


def write(file: str, folder: Path) -> list[str]:
    """The file's blocks as modules of the name in their first line."""
    names = []
    for block in blocks(file):
        name = NAME.match(block)
        assert name, f"{file}: the first line of a block names its module: {block[:40]!r}"
        (folder / name[1]).write_text(block)
        names.append(name[1])
    return names


Run = Callable[..., str]


def checked(run: Callable[..., Any], *words: str, folder: Path) -> str:
    """What a new process prints that can import from `folder`."""
    done = run(words, folder, environment(folder, CUDA_VISIBLE_DEVICES=""))
    assert done.returncode == 0, f"{words}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return str(done.stdout)


@pytest.fixture
def python(forks: Forks) -> Run:
    """`python WORDS` in a folder."""
    return partial(checked, forks.run)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["own-space", "own-method"])
def test_own_parts_keep_the_contracts_and_search(page: str, python: Run, tmp_path: Path) -> None:
    part, test, search = write(f"docs/{page}.md", tmp_path)
    assert (part, test, search) == (f"my_{page[4:]}.py", f"test_my_{page[4:]}.py", f"search_my_{page[4:]}.py")
    passed = python("-m", "pytest", test, "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), folder=tmp_path)
    assert re.search(r"\b[1-9]\d* passed", passed)
    assert "failed" not in passed
    assert "Genotype(space=" in python(search, folder=tmp_path)
    assert (tmp_path / "lightning_logs/version_0/genotype.yaml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["own-space", "own-method"])
def test_own_classes_in_yaml(page: str, python: Run, tmp_path: Path) -> None:
    write(f"docs/{page}.md", tmp_path)
    shown = yaml_blocks(f"docs/{page}.md")
    model = (
        shown[0]
        if shown
        else (
            "model:\n  class_path: my_method.SigmoidSearch\n  init_args:\n    space: {class_path: NasBench201Space}\n"
            "    skeleton: {class_path: StagedSkeleton, init_args: {cells_per_stage: 1, channels: 4, in_channels: 1}}\n"
        )
    )
    data = "data: {class_path: Bilevel, init_args: {datamodule: {class_path: Digits, init_args: {batch_size: 128}}}}\n"
    trainer = "trainer: {max_epochs: 1, limit_train_batches: 2, callbacks: [{class_path: ExtractGenotype}]}\n"
    (tmp_path / "config.yaml").write_text(model + data + trainer)
    python("-m", "lightning_nas", "fit", "--config", "config.yaml", folder=tmp_path)
    assert (tmp_path / "lightning_logs/version_0/genotype.yaml").is_file()


@pytest.mark.slow
def test_children_in_yaml_go_on(python: Run, tmp_path: Path) -> None:
    """The config as it stands, twice: the second run trains nothing."""
    (config,) = yaml_blocks("docs/children.md")
    (tmp_path / "config.yaml").write_text(config)
    for _ in range(2):
        python("-m", "lightning_nas", "fit", "--config", "config.yaml", folder=tmp_path)
        lines = (tmp_path / "runs/evolution/trials.jsonl").read_text().splitlines()
        assert len(lines) == 6
    assert (tmp_path / "runs/evolution/genotype.yaml").is_file()


@pytest.mark.slow
def test_weight_sharing_in_yaml_runs(python: Run, tmp_path: Path) -> None:
    (config,) = yaml_blocks("docs/weight-sharing.md")
    (tmp_path / "config.yaml").write_text(config)
    python("-m", "lightning_nas", "fit", "--config", "config.yaml", folder=tmp_path)
    assert [path.name for path in (tmp_path / "runs/sharing/candidates").iterdir()] == ["epoch_0001.csv"]
    assert (tmp_path / "runs/sharing/genotype.yaml").is_file()


def test_callbacks_in_yaml_are_constructed() -> None:
    for block in yaml_blocks("docs/training.md"):
        for callback in yaml.safe_load(block)["callbacks"]:
            made = instantiate(callback)
            for name in callback["init_args"]:
                assert getattr(made, name), name


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        "docs/quickstart.md",
        "docs/own-data.md",
        "docs/training.md",
        "docs/children.md",
        "docs/weight-sharing.md",
        "docs/costs.md",
        "docs/export.md",
    ],
)
@pytest.mark.parametrize("start", ["forked", pytest.param("new", marks=pytest.mark.long)])
def test_examples_run(file: str, start: str, forks: Forks, tmp_path: Path) -> None:
    """As they stand and in a new interpreter, as a user runs them; forked, with fewer epochs and cells."""
    text = "\n\n".join(blocks(file))
    if start == "forked":
        text = text.replace("max_epochs=2", "max_epochs=1").replace("cells=20, channels=22", "cells=5, channels=22")
    (tmp_path / "example.py").write_text(text)
    checked(interpreter if start == "new" else forks.run, "example.py", folder=tmp_path)


def test_parameter_counts_in_the_readme() -> None:
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \|(.*)\|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [name for name, _ in rows] == list(published_names())
    for name, numbers in rows:
        space, genotype = published(name)
        for index, number in enumerate(numbers.split("|")):
            sizes: dict[str, Any] = {"cells": 20, "channels": 36, "classes": 10}
            if index > 1:
                sizes = {"cells": 14, "channels": 48, "classes": 1000, "stem": "imagenet"}
            with torch.device("meta"):
                network = space.build(genotype, CellSkeleton(auxiliary=index % 2 == 1, **sizes))
            assert sum(parameter.numel() for parameter in network.parameters()) == int(number.replace(",", "")), name


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_configs_that_are_named_exist() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for file in re.findall(r"configs/[\w/]+\.yaml", page.read_text()):
            assert (ROOT / file).is_file(), f"{page.name}: {file}"
