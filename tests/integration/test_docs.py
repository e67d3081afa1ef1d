"""The code that the documentation shows is run as it stands, in a folder outside the package."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAME = re.compile(r"# (\w+\.py)\n")


def blocks(file: str) -> list[str]:
    found = BLOCK.findall((ROOT / file).read_text())
    assert found, f"{file} shows no Python"
    return found


def write(file: str, folder: Path) -> list[str]:
    """The file's blocks as modules of the name in their first line."""
    names = []
    for block in blocks(file):
        name = NAME.match(block)
        assert name, f"{file}: the first line of a block names its module: {block[:40]!r}"
        (folder / name[1]).write_text(block)
        names.append(name[1])
    return names


def python(*words: str, folder: Path) -> str:
    """What a new process prints that can import from `folder`."""
    environment = os.environ | {"PYTHONPATH": str(folder), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{words}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("page", ["own-space", "own-method"])
def test_own_parts_keep_the_contracts_and_search(page: str, tmp_path: Path) -> None:
    part, test, search = write(f"docs/{page}.md", tmp_path)
    assert (part, test, search) == (f"my_{page[4:]}.py", f"test_my_{page[4:]}.py", f"search_my_{page[4:]}.py")
    passed = python("-m", "pytest", test, "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), folder=tmp_path)
    assert re.search(r"\b[1-9]\d* passed", passed)
    assert "failed" not in passed
    assert "Genotype(space=" in python(search, folder=tmp_path)
    assert (tmp_path / "lightning_logs/version_0/genotype.yaml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("page", ["own-space", "own-method"])
def test_own_classes_in_yaml(page: str, tmp_path: Path) -> None:
    write(f"docs/{page}.md", tmp_path)
    yaml = re.search(r"^```yaml\n(.*?)^```$", (ROOT / f"docs/{page}.md").read_text(), re.DOTALL | re.MULTILINE)
    model = yaml[1] if yaml else (
        "model:\n  class_path: my_method.SigmoidSearch\n  init_args:\n    space: {class_path: NasBench201Space}\n"
        "    skeleton: {class_path: StagedSkeleton, init_args: {cells_per_stage: 1, channels: 4, in_channels: 1}}\n"
    )
    data = "data: {class_path: Bilevel, init_args: {datamodule: {class_path: Digits, init_args: {batch_size: 128}}}}\n"
    trainer = "trainer: {max_epochs: 1, accelerator: cpu, limit_train_batches: 2, callbacks: [{class_path: ExtractGenotype}]}\n"
    (tmp_path / "config.yaml").write_text(model + data + trainer)
    python("-m", "lightning_nas", "fit", "--config", "config.yaml", folder=tmp_path)
    assert (tmp_path / "lightning_logs/version_0/genotype.yaml").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("file", ["README.md", "docs/quickstart.md", "docs/own-data.md", "docs/training.md"])
def test_examples_run(file: str, tmp_path: Path) -> None:
    for index, block in enumerate(blocks(file)):
        (tmp_path / f"example_{index}.py").write_text(block)
        python(f"example_{index}.py", folder=tmp_path)


def test_links_lead_somewhere() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_configs_that_are_named_exist() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for file in re.findall(r"configs/[\w/]+\.yaml", page.read_text()):
            assert (ROOT / file).is_file(), f"{page.name}: {file}"
