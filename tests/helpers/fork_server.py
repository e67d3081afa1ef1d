"""A process that has torch, Lightning and the package imported, and forks for each script: started by forks.py.

A child is what `python SCRIPT ...` or `python -m MODULE ...` is, but for its imports: it has its own working directory,
environment, `sys.argv`, `sys.path`, standard streams, atexit handlers and exit status.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import runpy
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

# The package as it imports itself and no module more, so that a missing import is missed; and what others import late.
PRELOADED = (
    "lightning_nas",
    "sklearn.datasets",
    "torch.utils.tensorboard",
    "torch.distributed.nn",
    "torch.distributed.algorithms.ddp_comm_hooks.post_localSGD_hook",
    "matplotlib.pyplot",
)


class Start(NamedTuple):
    """A command to be run."""

    words: list[str]
    """Those behind `python`."""
    folder: str
    environment: dict[str, str]
    out: str
    """File for standard output."""
    err: str


def preload(root: str) -> None:
    """Import what takes seconds; the package from the folder `root`, as the tests do."""
    sys.path.insert(0, root)
    for name in PRELOADED:
        importlib.import_module(name)
    sys.path.remove(root)
    importlib.import_module("torch").set_num_threads(1)


def _threads() -> int:
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()


def _become(start: Start, path: list[str]) -> None:
    """Make this process the one that the command asks for."""
    np.random.seed()  # torch's and Python's own generators are as in a new interpreter
    os.environ.clear()
    os.environ.update(start.environment)
    os.chdir(start.folder)
    for number, (file, flags) in enumerate(((os.devnull, os.O_RDONLY), *((f, os.O_WRONLY) for f in start[3:]))):
        source = os.open(file, flags)
        os.dup2(source, number)
        os.close(source)
    script = start.words[0]
    first = start.folder if script == "-m" else str(Path(script).resolve().parent)
    given = start.environment.get("PYTHONPATH", "")
    sys.path[:] = [first, *filter(None, given.split(os.pathsep)), *path]
    sys.argv[:] = start.words[1:] if script == "-m" else start.words


def _run(words: list[str]) -> int:
    """The exit status, found as the interpreter does."""
    try:
        if words[0] == "-m":
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as exit_:
        if exit_.code is None or isinstance(exit_.code, int):
            return exit_.code or 0
        print(exit_.code, file=sys.stderr)
        return 1
    except BaseException:  # noqa: BLE001 - the interpreter prints any
        traceback.print_exc()
        return 1
    return 0


def _child(start: Start, path: list[str]) -> None:
    """Run the command and end the process, whatever happens."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _become(start, path)
        status = _run(start.words)
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads that are no daemons
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - must not go on as a second server
        traceback.print_exc()
    finally:
        os._exit(status & 0xFF)


def _status(pid: int) -> int | None:
    """As `subprocess` tells it: None while it runs, negative for a signal."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def serve(connection: Connection[Any, Any]) -> None:
    """Answer until the other end is closed, then end all children."""
    path, running = list(sys.path[1:]), set()
    gc.collect()
    gc.freeze()  # a collection in a child would copy all that it shares with this process
    while True:
        try:
            asked = connection.recv()
        except EOFError:
            break
        if isinstance(asked, int):
            status = _status(asked)
            running -= {asked} if status is not None else set()
            connection.send(status)
            continue
        assert _threads() == 1, "a process with threads must not fork"
        pid = os.fork()
        if pid == 0:
            connection.close()
            _child(Start(*asked), path)
        running.add(pid)
        connection.send(pid)
    for pid in running:
        os.kill(pid, signal.SIGKILL)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # pytest gets it as well, and closes the connection
    root, number = sys.argv[1:]
    preload(root)
    serve(Connection(int(number)))


if __name__ == "__main__":
    main()
