"""Random numbers that are functions of keys, and what a child's training must not disturb."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.seed import isolate_rng


def current_seed() -> int:
    """The seed given to `lightning.seed_everything` (it stores it in the environment), 0 if there was none."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0"))


@contextmanager
def use_seed(seed: int) -> Iterator[None]:
    """Within it, `seed` is the run's: for a fit inside another, which it leaves as it was.

    Example:
        >>> before = current_seed()
        >>> with use_seed(5):
        ...     current_seed()
        5
        >>> current_seed() == before
        True
    """
    before = os.environ.get("PL_GLOBAL_SEED")
    state = torch.get_rng_state()
    os.environ["PL_GLOBAL_SEED"] = str(seed)
    try:
        torch.manual_seed(seed)
        yield
    finally:
        torch.set_rng_state(state)
        if before is None:
            del os.environ["PL_GLOBAL_SEED"]
        else:
            os.environ["PL_GLOBAL_SEED"] = before


def derive_seed(seed: int, *keys: int | str) -> int:
    """A 63-bit seed for one purpose, the same in every process and on every rank.

    Args:
        seed: the run's seed.
        keys: what the numbers are for, for example `("draw", epoch, batch)`.

    Example:
        >>> first, second = derive_seed(0, "draw", 1), derive_seed(0, "draw", 2)
        >>> first == derive_seed(0, "draw", 1), first == second
        (True, False)
    """
    text = "/".join([str(seed), *map(str, keys)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


@cache
def _answer(question: Callable[[], bool]) -> bool:
    """What a machine has does not change while a process runs, and to ask takes longer than to seed."""
    return question()


def seed_all(seed: int) -> None:
    """`torch.manual_seed` without what it costs on a machine that has no accelerator, where it is called each batch.

    Example:
        >>> seed_all(5)
        >>> first = torch.rand(1)
        >>> _ = torch.manual_seed(5)
        >>> torch.equal(first, torch.rand(1))
        True
    """
    if _answer(torch.accelerator.is_available):
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


def generator(seed: int, *keys: int | str) -> torch.Generator:
    """A CPU generator for (seed, keys). Draw on the CPU and move the numbers: a GPU then sees the same ones.

    Example:
        >>> torch.equal(torch.rand(3, generator=generator(0, "a")), torch.rand(3, generator=generator(0, "a")))
        True
    """
    return torch.Generator().manual_seed(derive_seed(seed, *keys))


@contextmanager
def isolated_numerics() -> Iterator[None]:
    """Within it there is no autocast, float32 is the default, and gradients are on."""
    before = torch.get_default_dtype()
    with ExitStack() as stack:
        for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
            stack.enter_context(torch.autocast(device, enabled=False))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        try:
            torch.set_default_dtype(torch.float32)
            yield
        finally:
            torch.set_default_dtype(before)


@contextmanager
def preserve_random_state(trainer: Trainer) -> Iterator[None]:
    """Leaves all random numbers of the fit as they are: the global ones, and those of its loader and sampler."""
    loader = trainer.train_dataloader
    owners = [loader, getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)]
    found = [getattr(owner, "generator", None) for owner in owners]
    states = [(source, source.get_state()) for source in found if isinstance(source, torch.Generator)]
    with isolate_rng():
        try:
            yield
        finally:
            for source, state in states:
                source.set_state(state)
