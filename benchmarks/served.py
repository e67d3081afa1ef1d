"""What `versions.py` starts in both checkouts for steps that no script there serves: one step for each line it reads.

All that it imports is the checkout's own, its benchmarks as well, so only names that they all have are used.

    python benchmarks/served.py FOLDER overhead gdas 20                           # a fit of so many blocks of steps
    python benchmarks/served.py FOLDER sharing weight_step darts 64 50     # batch, paths
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Blocks:
    """A loader of one batch that yields a block of steps for each line that it reads.

    After the last block it waits for the end of its input, lest the end of the fit fall into a block of the other side.
    """

    def __init__(self, batch: Any, steps: int, blocks: int) -> None:
        self.batch, self.steps, self.blocks = batch, steps, blocks

    def __len__(self) -> int:
        return self.steps * self.blocks + 1  # one more is asked for when the last block is done

    def __iter__(self) -> Iterator[Any]:
        print("ready", flush=True)
        for _ in sys.stdin:
            for _ in range(self.steps):
                yield self.batch
            print("done", flush=True)


def overhead(case: str, blocks: str) -> None:
    """The `plain` fit of `overhead.py`, without the bare steps between its blocks."""
    import lightning as L
    import overhead as own
    import torch
    from apart import in_use
    from lightning.pytorch.utilities import CombinedLoader

    make, size, steps = own.CASES[case]
    before = in_use()
    L.seed_everything(0, verbose=False)
    batches = [(torch.randn(size, 3, 32, 32), torch.randint(10, (size,))) for _ in range(2)]
    turns = Blocks(batches[0], steps, int(blocks))
    loaders = CombinedLoader({"train": turns, "val": own.Repeated(batches[1], len(turns))}, "min_size")
    with tempfile.TemporaryDirectory() as folder:
        own.trainer("plain", folder).fit(make(), loaders)
    print(in_use(peak=True) - before)


def sharing(method: str, space: str, batch: str, paths: str) -> None:
    """A step of `sharing_step.py`, which has both sides in one process, with the package's side alone."""
    import torch
    from apart import serve
    from sharing_step import Side

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    serve(lambda: getattr(Side("fan_out", space, int(batch), int(paths), 0, device), method))


def main() -> None:
    folder, name, *words = sys.argv[1:]
    sys.path[0] = str(Path(folder) / "benchmarks")
    from harness import prepare

    prepare()
    warnings.filterwarnings("ignore", "You defined a `validation_step`")
    {"overhead": overhead, "sharing": sharing}[name](*words)


if __name__ == "__main__":
    main()
