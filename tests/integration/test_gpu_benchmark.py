"""`benchmarks/gpu.py` is run on a GPU once in a while: its small form has to run everything, everywhere."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from helpers.forks import Forks, environment

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


def failures(found: Any, path: str = "") -> list[str]:
    """Where a record says that something failed or was left out."""
    if not isinstance(found, dict):
        return []
    own = [f"{path}: {found[key]}" for key in ("failed", "left_out") if key in found]
    return own + [text for name, value in found.items() for text in failures(value, f"{path}/{name}")]


def run(forks: Forks, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return forks.run([SCRIPT, *words], folder, environment())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A few images of ten classes, in folders."""
    for label in range(10):
        folder = tmp_path / "images" / "train" / f"class{label}"
        folder.mkdir(parents=True)
        for number in range(8):
            Image.new("RGB", (32, 32), (25 * label, 20 * number, 0)).save(folder / f"{number}.png")
    return tmp_path / "images"


NAMES = "bounds ratios search shares waits memory precisions batches layouts graphs compile"


@pytest.mark.slow
@pytest.mark.parametrize("names", ["search memory", pytest.param(NAMES, marks=pytest.mark.long)], ids=["two", "all"])
def test_sections_run_in_small(names: str, root: Path, forks: Forks, tmp_path: Path) -> None:
    words = () if names == NAMES else ("--sections", *names.split())
    done = run(forks, tmp_path, "--smoke", "--root", str(root), "--output", str(tmp_path / "gpu.json"), *words)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "gpu.json").read_text())
    results = record["results"]
    assert list(results) == names.split()
    assert not failures(results)
    assert results["search"]["data"] == f"80 images of {root / 'train'}"
    assert results["search"]["gdas"]["measured_epochs"] == 2
    if names == NAMES:
        assert results["bounds"]["darts first order"]["operations"] > 100
        assert all(name in results["ratios"] for name in ("darts second order, float32", "gdas, float32"))


@pytest.mark.slow
def test_what_fails_and_what_comes_too_late_is_noted(forks: Forks, tmp_path: Path) -> None:
    words = ("--sections", "memory", "search", "--minutes", "1e-3", "--output", str(tmp_path / "gpu.json"))
    done = run(forks, tmp_path, "--smoke", *words)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "gpu.json").read_text())["results"]
    assert list(results) == ["search", "memory"]
    assert "no time" in str(results["memory"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="runs in full where there is a GPU")
def test_without_a_gpu_it_says_what_to_do(forks: Forks, tmp_path: Path) -> None:
    done = run(forks, tmp_path)
    assert done.returncode == 2
    assert "add --smoke" in done.stderr
