"""The command line: `lightning-nas` and `python -m lightning_nas`."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

USAGE = """\
usage: lightning-nas run --config FILE          search, build, train and test, in one go; again after a kill, it goes on
       lightning-nas fit --config FILE          one fit: a search, or the training of a network
       lightning-nas validate|test|predict ...  as LightningCLI has them
       lightning-nas COMMAND --help             all options of a command
"""


def main(words: Sequence[str] | None = None) -> None:
    """Run one command.

    Args:
        words: the command line without the program's name; None takes the process's.
    """
    words = list(sys.argv[1:] if words is None else words)
    # Lightning's own use of names that torch and jsonargparse retire; nothing that a user could do about it.
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        raise SystemExit(0 if words else 2)
    if words[0] == "run":
        from lightning_nas.chain import run_from_command_line

        run_from_command_line(words[1:])
        return
    from lightning_nas.cli import NasCLI

    NasCLI(words)


if __name__ == "__main__":
    main()
