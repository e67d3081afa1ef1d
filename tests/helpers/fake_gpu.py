"""A GPU that computes nothing, to see on any machine where the host would wait for a real one.

Torch's meta device stands in for it: its tensors have shapes and types, but no numbers. Every operation of a fit passes
by here, backward passes too, so that copies that block, numbers that the host asks for, and indices that lie on the
host are seen. What only CUDA's own kernels do is not.
"""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import lightning as L
import torch
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

GPU = torch.device("meta")
ROOT = Path(__file__).parents[2]
_COPIES = (torch.ops.aten._to_copy, torch.ops.aten.copy_)
_INDEXED = (torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_)


class Waits(TorchDispatchMode):
    """Counts waits by the line that waits: of this package if one is on the way, else the innermost.

    While `watching` is false nothing is counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: Counter[str] = Counter()
        self.watching = True

    def note(self) -> None:
        if self.watching:
            frames = [f for f in traceback.extract_stack() if f.filename != __file__]
            own = [f for f in frames if ROOT / "lightning_nas" in Path(f.filename).parents]
            frame = (own or [f for f in frames if "/torch/" not in f.filename])[-1]
            self.places[f"{Path(frame.filename).name}: {frame.line}"] += 1

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, function.overloadpacket
        if name is torch.ops.aten._local_scalar_dense and args[0].device == GPU:
            self.note()
            return torch.ones((), dtype=args[0].dtype).item()
        if name in _COPIES and _to_host(name, args, kwargs):
            self.note()
            return torch.zeros_like(args[0], device="cpu") if name is _COPIES[0] else args[0]
        found = function(*args, **kwargs)
        if name in _COPIES and len(_devices((args, found))) > 1 and not _is_asynchronous(function, args, kwargs):
            self.note()
        if name in _INDEXED and args[0].device == GPU and "cpu" in _devices(args[1]):
            self.note()
        return found


def _devices(tree: Any) -> set[str]:
    return {leaf.device.type for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}


def _to_host(name: Any, args: Any, kwargs: Any) -> bool:
    if name is _COPIES[0]:
        target = kwargs.get("device")
        return args[0].device == GPU and target is not None and target.type == "cpu"
    return args[0].device.type == "cpu" and args[1].device == GPU


def _is_asynchronous(function: Any, args: Any, kwargs: Any) -> bool:
    names = (argument.name for argument in function._schema.arguments)
    return bool({**dict(zip(names, args, strict=False)), **kwargs}.get("non_blocking"))


class _Calls(TorchFunctionMode):
    """Sees what happens in C++ before any operation is called: `tolist`, and Python numbers that go to the device."""

    def __init__(self, waits: Waits) -> None:
        super().__init__()
        self.waits = waits

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        mine = bool(args) and isinstance(args[0], Tensor) and args[0].device == GPU
        if function is Tensor.tolist and mine:
            self.waits.note()
            return torch.zeros_like(args[0], device="cpu").tolist()
        made = function in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or "cpu") == GPU
        listed = function in (Tensor.__getitem__, Tensor.__setitem__) and mine and _has_list(args[1])
        if (made and not mine) or (function is Tensor.new_tensor and mine) or listed:
            self.waits.note()
        return function(*args, **kwargs)


def _has_list(index: Any) -> bool:
    return any(isinstance(part, (list, range)) for part in (index if isinstance(index, tuple) else (index,)))


@contextmanager
def watched() -> Iterator[Waits]:
    """Within it waits for `GPU` are counted."""
    waits = Waits()
    unknown = patch.object(torch, "is_autocast_enabled", lambda _="": False)  # it refuses to be asked for this device
    with waits, _Calls(waits), unknown:
        yield waits


class _Accelerator(CPUAccelerator):
    def setup_device(self, device: torch.device) -> None:
        """Nothing to set up."""


class _Watch(L.Callback):
    """Watches the hooks of training batches of a kind but for the first two, whose labels are looked at."""

    def __init__(self, waits: Waits, kind: str) -> None:
        self.waits, self.kind, self.steps = waits, kind, -2

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if self.kind in batch or self.kind == "all":
            self.steps += 1
            self.waits.watching = self.steps > 0

    def on_train_batch_end(self, *_: Any) -> None:
        self.waits.watching = False


def waits_of_a_fit(module: L.LightningModule, data: Any, kind: str = "all", **settings: Any) -> dict[str, float]:
    """Waits a training step of a real fit on the device that computes nothing, by their line.

    Args:
        module: what is fitted.
        data: data module, or loaders.
        kind: key of the batches that count; "all": all of them.
        settings: of the trainer.
    """
    strategy = SingleDeviceStrategy(device=GPU, accelerator=_Accelerator())
    with watched() as waits:
        waits.watching, watch = False, _Watch(waits, kind)
        trainer = L.Trainer(strategy=strategy, max_epochs=1, callbacks=[watch], num_sanity_val_steps=0, **settings)
        trainer.fit(module, data)
    assert watch.steps > 0, f"no batch of kind {kind!r} was watched"
    return {place: count / watch.steps for place, count in waits.places.items()}
