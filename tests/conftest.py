"""What all tests share: seeds, threads, and quiet arguments for a Trainer."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import seed_everything

from helpers.forks import Forks

os.environ["JSONARGPARSE_DEPRECATION_WARNINGS"] = "off"  # Lightning calls what jsonargparse retires
torch.set_num_threads(1)  # the tensors are tiny: threads would only wait for each other
HEAVY = ("slow", "ddp", "long")
ROOT = Path(__file__).parents[1]


@cache
def has_shared_fixtures(file: str) -> bool:
    return 'scope="module"' in (ROOT / file).read_text()


def group_of(nodeid: str) -> str:
    """Name of the tests that share work, and so run on one worker.

    Those are a module with fixtures of its own, a class, and tests of one YAML file, which is parsed once. Told from
    the name of a test, since marks are unknown where the work is handed out: `--dist loadgroup` writes them into the
    names, which pytest 9.2 no longer allows.
    """
    file, *parts = nodeid.split("::")
    if config := re.search(r"\[(configs/.*\.yaml)\]", nodeid):
        return config[1]
    if has_shared_fixtures(file):
        return file
    return f"{file}::{parts[0]}" if len(parts) > 1 else nodeid


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The heaviest groups come first, so that no worker is left with one at the end."""
    if not hasattr(config, "workerinput"):
        return
    groups = {item: group_of(item.nodeid) for item in items}
    heavy = Counter(groups[item] for item in items if any(item.get_closest_marker(name) for name in HEAVY))
    size, place = Counter(groups.values()), {group: place for place, group in enumerate(dict.fromkeys(groups.values()))}
    items.sort(key=lambda item: (-heavy[groups[item]], -size[groups[item]], place[groups[item]]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hands out groups, in the order of their first tests."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    return Groups(config, log) if config.getoption("dist") == "loadscope" else None


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
