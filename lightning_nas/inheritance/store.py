"""`WeightStore`: states of trained children on disk, bounded, and the same after a kill as without one."""

from __future__ import annotations

import io
import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from lightning_nas.config import Configurable
from lightning_nas.runtime.files import expanded, write_atomically

_FILE = re.compile(r"(\d{6,})\.pt")
_TEMPORARY = re.compile(r"\.\d{6,}\.pt\..+")
_CLOCK_END = 10**9  # a time of this century is no trial's number: the file was copied, or a kill came before `utime`


class WeightStore(Configurable):
    """Weights and buffers by trial number, one file each; the least recently used ones go when the bound is met.

    A file is written beside its place and renamed, so a kill never leaves half of one, and several processes can share
    a folder. Recency is a logical clock, the number of the trial that saved or last used a file, kept as its
    modification time: which files go depends neither on the time nor on the order in which processes come. Files go in
    `make_room` only, which whoever trains the children calls once before each round.

    Args:
        folder: where the files are; made when it is needed.
        max_megabytes: bound of all files together, in units of 1,000,000 bytes.

    Raises:
        ValueError: the bound is not positive.

    Example:
        >>> import tempfile
        >>> store = WeightStore(tempfile.mkdtemp(), max_megabytes=10)
        >>> store.save(3, {"weight": torch.ones(2)})
        >>> store.trials(before=4), store.trials(before=3), store.load(3, used_by=4)
        ([3], [], {'weight': tensor([1., 1.])})
    """

    def __init__(self, folder: str | Path, max_megabytes: float = 1024) -> None:
        if not 0 < max_megabytes < float("inf"):
            raise ValueError(f"WeightStore(max_megabytes={max_megabytes}): give a positive number.")
        self.folder, self.max_megabytes = expanded(folder), max_megabytes

    @property
    def max_bytes(self) -> int:
        """The bound in bytes."""
        return int(self.max_megabytes * 1_000_000)

    def within(self, folder: str | Path) -> WeightStore:
        """The store with its folder inside another one, such as a search's; an absolute folder stays."""
        return WeightStore(expanded(folder) / self.folder, self.max_megabytes)

    def path(self, trial: int) -> Path:
        """The file of a trial, whether it exists or not."""
        if trial < 0:
            raise ValueError(f"trial={trial}: trials are numbered from 0.")
        return self.folder / f"{trial:06d}.pt"

    def save(self, trial: int, state: Mapping[str, Tensor]) -> None:
        """Keep the state of a trial, in place of one that a killed attempt left.

        Raises:
            ValueError: the state alone is larger than the bound.
        """
        content = io.BytesIO()
        torch.save({key: value.detach().cpu().clone() for key, value in state.items()}, content)
        if content.tell() > self.max_bytes:
            raise ValueError(
                f"WeightStore(max_megabytes={self.max_megabytes}): the weights of trial {trial} alone have "
                f"{content.tell() / 1e6:.1f}; give room for several times that."
            )
        path = write_atomically(self.path(trial), content.getvalue())
        os.utime(path, (trial, trial))

    def load(self, trial: int, used_by: int | None = None) -> dict[str, Tensor] | None:
        """The state of a trial on the CPU; None if it was evicted, or is damaged, which is reported.

        Args:
            trial: whose state.
            used_by: the trial that uses it, which makes it recent; None only looks.
        """
        path = self.path(trial)
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except (RuntimeError, EOFError, ValueError, KeyError, OSError, pickle.UnpicklingError) as error:
            state, reason = None, str(error).split("\n")[0]
        else:
            reason = "it holds something else"
        if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
            rank_zero_warn(f"The weights of trial {trial} in {path} are damaged and are not used: {reason}.")
            return None
        if used_by is not None:
            self.touch(trial, used_by)
        return state

    def touch(self, trial: int, used_by: int) -> None:
        """Note that a trial has used the state of another one."""
        path = self.path(trial)
        try:
            clock = max(_clock(path, trial), used_by)  # whichever process comes last
            os.utime(path, (clock, clock))
        except FileNotFoundError:
            return

    def trials(self, before: int) -> list[int]:
        """Numbers of the trials below `before` whose states are stored, newest first."""
        return sorted(self._files(before), reverse=True)

    def make_room(self, next_trial: int, count: int) -> list[int]:
        """Let the least recently used states go until `count` more have room, each as large as the largest is.

        Called in one process, before a round of children, while no other saves. Files of `next_trial` and later ones
        are those of a killed attempt: they do not count and will be overwritten. Each step follows from what is
        there, so a call that is repeated, or goes on behind a kill, ends with the same files.

        Args:
            next_trial: number of the round's first child.
            count: how many children there are.

        Returns:
            The trials whose states went, in order.
        """
        gone: list[int] = []
        if not self.folder.is_dir():
            return gone
        for entry in self.folder.iterdir():
            if _TEMPORARY.fullmatch(entry.name):  # a kill in the middle of a write
                entry.unlink(missing_ok=True)
        files = {trial: path.stat().st_size for trial, path in self._files(next_trial).items()}
        oldest = sorted(files, key=lambda trial: (_clock(self.path(trial), trial), trial))
        while oldest and sum(files.values()) + count * max(files.values()) > self.max_bytes:
            trial = oldest.pop(0)
            self.path(trial).unlink(missing_ok=True)
            del files[trial]
            gone.append(trial)
        return gone

    def _files(self, before: int) -> dict[int, Path]:
        if not self.folder.is_dir():
            return {}
        named = ((_FILE.fullmatch(path.name), path) for path in self.folder.iterdir())
        return {int(match[1]): path for match, path in named if match and int(match[1]) < before}


def _clock(path: Path, trial: int) -> int:
    """Number of the trial that saved or last used a file."""
    time = int(path.stat().st_mtime)
    return time if time < _CLOCK_END else trial
