"""What freed memory costs when it is used again."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from lightning_nas.runtime import memory

ROUNDS = """
import resource, runpy, sys
import torch

torch.set_num_threads(1)
assert runpy.run_path(sys.argv[1])["keep_freed_memory"]()
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    tensors = [torch.ones(2**20) for _ in range(30)]
    del tensors
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_kept_memory_is_used_again_without_faults() -> None:
    # Without the call a round of 120 MB has 30,000 faults, or none where something small happens to lie on top.
    # A new process, as others may have made the call in this one; the file alone, as the package takes seconds.
    words = [sys.executable, "-c", ROUNDS, memory.__file__]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1_000
