"""The command line: `lightning-nas` and `python -m lightning_nas`."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence

from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.runtime.memory import keep_freed_memory
from lightning_nas.training.module import NonFiniteLossError

USAGE = """\
usage: lightning-nas run --config FILE          search, build, train and test, in one go; again after a kill, it goes on
       lightning-nas fit --config FILE          one fit: a search, or the training of a network
       lightning-nas front FOLDER [--pick COND] what the callback ParetoFront has kept; the retrain.yaml of one network
       lightning-nas export CHECKPOINT --output FILE  a trained network as ONNX (.onnx) or torch.export program (.pt2)
       lightning-nas validate|test|predict ...  as LightningCLI has them
       lightning-nas COMMAND --help             all options of a command

LIGHTNING_NAS_TRACEBACK=1 in the environment shows where an error comes from.
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
    keep_freed_memory()
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        raise SystemExit(0 if words else 2)
    try:
        _dispatch(words)
    except (MisconfigurationException, NonFiniteLossError) as error:
        if os.environ.get("LIGHTNING_NAS_TRACEBACK"):
            raise
        print(f"lightning-nas: error: {error}", file=sys.stderr)
        raise SystemExit(1) from error


def _dispatch(words: list[str]) -> None:
    if words[0] == "run":
        from lightning_nas.cli.chain import run_from_command_line

        run_from_command_line(words[1:])
    elif words[0] == "front":
        from lightning_nas.cli.front import front_from_command_line

        front_from_command_line(words[1:])
    elif words[0] == "export":
        from lightning_nas.cli.export import export_from_command_line

        export_from_command_line(words[1:])
    elif words[0] in ("fit", "validate", "test", "predict"):
        from lightning_nas.cli.nas_cli import NasCLI

        NasCLI(words)
    else:
        print(f"lightning-nas: error: no command {words[0]!r}.\n{USAGE}", end="", file=sys.stderr)
        raise SystemExit(2)


if __name__ == "__main__":
    main()
