"""Trials with a random value in every field."""

from __future__ import annotations

import torch

from lightning_nas import Fidelity
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import ConvChainSpace
from lightning_nas.trials.trial import Proposal, Trial

SPACE = ConvChainSpace(depths=(1, 2, 4))


def random_trial(number: int) -> Trial:
    source = generator(0, "trial", number)

    def integer(least: int, most: int) -> int:
        return int(torch.randint(least, most, (), generator=source))

    def real() -> float:
        return float(torch.rand((), generator=source, dtype=torch.float64))

    sizes = {name: integer(1, 40) if integer(0, 2) else None for name in ("cells", "channels", "resolution")}
    fidelity = Fidelity(integer(5, 600), share=1.0 - real(), **sizes)
    parent = integer(0, 100) if integer(0, 2) else None
    fixed = ("depth",) if integer(0, 2) else ()
    proposal = Proposal(SPACE.sample(source), fidelity, parent, integer(0, 5), fixed)
    if integer(0, 4) == 0:
        return Trial(number, proposal, integer(0, 2**62), "failed", None, real(), reason='Error: "µ\u2028\n\t\\" ☃')
    metrics = {"val/accuracy": real(), "val/löss": -real()}
    curves = {name: tuple(real() for _ in range(integer(1, 6))) for name in metrics}
    return Trial(number, proposal, integer(0, 2**62), "complete", real(), 1e6 * real(), metrics, curves)
