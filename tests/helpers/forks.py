"""Scripts and commands in processes of their own, without the seconds that a new interpreter takes to import torch."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import lightning_nas
from helpers.fork_server import Start

ROOT = Path(lightning_nas.__file__).parents[1]
SERVER = Path(__file__).with_name("fork_server.py")
FOREIGN = ("PL_GLOBAL_SEED", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""Variables that an earlier test of this process may have left."""
PAUSE = 0.01
"""Seconds between looks at a process."""


def environment(*folders: Path, **more: str) -> dict[str, str]:
    """The variables of a user's shell, in which modules can be imported from `folders`."""
    found = {k: v for k, v in os.environ.items() if k not in FOREIGN and not k.startswith("PYTEST_")}
    path = [*map(str, folders), *filter(None, [found.get("PYTHONPATH")])]
    return {**found, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(path), **more}


class Fork:
    """A process that runs a command, used as a `subprocess.Popen`; its outputs are files."""

    def __init__(self, forks: Forks, pid: int, words: list[str], out: Path, err: Path) -> None:
        self.pid, self.words, self.returncode = pid, words, None
        self._forks, self._out, self._err = forks, out, err

    returncode: int | None

    @property
    def stdout(self) -> str:
        """What it has written so far."""
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def poll(self) -> int | None:
        """Its exit status, negative for a signal, or None while it runs."""
        if self.returncode is None:
            self.returncode = self._forks.ask(self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Its exit status; after `timeout` seconds it is killed."""
        end = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > end:
                self.kill()
                raise subprocess.TimeoutExpired(self.words, timeout, self.stdout, self.stderr)
            time.sleep(PAUSE)
        return status

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)
            while self.poll() is None:
                time.sleep(PAUSE)


class Forks:
    """Starts processes by way of a server, which is started for the first of them, and anew if it has ended.

    Args:
        folder: for what the processes print.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._server: subprocess.Popen[bytes] | None = None
        self._connection: Connection[Any, Any] | None = None

    def start(self, words: Sequence[str | Path], folder: Path, variables: Mapping[str, str]) -> Fork:
        """`python WORDS` in `folder`."""
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        out.touch()
        err.touch()
        texts = list(map(str, words))
        pid = self.ask(tuple(Start(texts, str(folder), dict(variables), str(out), str(err))))
        return Fork(self, pid, texts, out, err)

    def run(
        self, words: Sequence[str | Path], folder: Path, variables: Mapping[str, str], timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """`subprocess.run([python, *words], capture_output=True, text=True, ...)`."""
        fork = self.start(words, folder, variables)
        status = fork.wait(timeout)
        return subprocess.CompletedProcess(fork.words, status, fork.stdout, fork.stderr)

    def ask(self, request: tuple[Any, ...] | int) -> Any:
        """The server's answer: the process of a new command, or the exit status of a process."""
        if self._server is None or self._server.poll() is not None:
            self._open()
        assert self._connection is not None
        try:
            self._connection.send(request)
            return self._connection.recv()
        except (EOFError, ConnectionError) as error:
            raise RuntimeError(
                f"The fork server has ended:\n{(self._folder / 'server').read_text()[-3000:]}"
            ) from error

    def close(self) -> None:
        """End the server and all its processes."""
        if self._connection is not None and self._server is not None:
            self._connection.close()
            self._server.wait(60)

    def _open(self) -> None:
        self._connection, theirs = Pipe()
        variables = environment()
        variables.pop("PYTHONPATH")  # each process has its own
        words = [sys.executable, str(SERVER), str(ROOT), str(theirs.fileno())]
        with (self._folder / "server").open("wb") as log:
            self._server = subprocess.Popen(
                words, env=variables, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        theirs.close()


def interpreter(
    words: Sequence[str | Path], folder: Path, variables: Mapping[str, str], timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """The same in a real new interpreter."""
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env=dict(variables),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_ranks(
    forks: Forks, words: Sequence[str | Path], folder: Path, variables: Mapping[str, str], timeout: float = 300
) -> str:
    """A script as two ranks, started as Lightning starts them; what they have printed, once both have ended well."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {**variables, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "WORLD_SIZE": "2"}
    ranks = [forks.start(words, folder, {**shared, "LOCAL_RANK": str(rank)}) for rank in range(2)]
    end = time.monotonic() + timeout
    while None in (states := [rank.poll() for rank in ranks]) and not any(states) and time.monotonic() < end:
        time.sleep(PAUSE)
    for rank in ranks:  # one that waits for another that has failed
        rank.kill()
    text = "\n".join(f"rank {number}: {states[number]}\n{rank.stderr[-3000:]}" for number, rank in enumerate(ranks))
    assert states == [0, 0], text
    return "".join(rank.stdout + rank.stderr for rank in ranks)
