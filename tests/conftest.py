"""What all tests share: seeds, threads, and quiet arguments for a Trainer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.forks import Forks
from lightning import seed_everything

os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"  # Lightning calls what jsonargparse retires
torch.set_num_threads(1)  # the tensors are tiny: threads would only wait for each other


@pytest.fixture(autouse=True)
def seed() -> int:
    """Every test starts from the same random state."""
    return seed_everything(0, verbose=False)


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Starts scripts and commands in processes that need not import torch again."""
    with closing(Forks(tmp_path_factory.mktemp("forks"))) as found:
        yield found


@pytest.fixture
def trainer_kwargs(tmp_path: Path) -> dict[str, Any]:
    """Arguments of a Trainer on the CPU that writes only below `tmp_path` and prints nothing."""
    return {
        "accelerator": "cpu",
        "devices": 1,
        "default_root_dir": tmp_path,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
