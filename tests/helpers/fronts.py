"""A front of three networks."""

from __future__ import annotations

from typing import Any

from lightning_nas import Classification, StagedSkeleton
from lightning_nas.data import Digits
from lightning_nas.pareto import Front, Member
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import NasBench201Space

SPACE = NasBench201Space()
SMALL = StagedSkeleton(channels=2, cells_per_stage=1, in_channels=1)
METRICS = [
    {"val/accuracy": 0.9, "latency_ms": 8.0, "params": 900.0},
    {"val/accuracy": 0.8, "latency_ms": 5.0, "params": 950.0},
    {"val/accuracy": 0.6, "latency_ms": 3.5, "params": 500.0},
]


def members(space: Any = SPACE) -> tuple[Member, ...]:
    return tuple(Member(10 + n, space.sample(generator(n, "front")), metrics) for n, metrics in enumerate(METRICS))


def front(space: Any = SPACE, skeleton: Any = SMALL, **more: Any) -> Front:
    network = {
        "seed_everything": 3,
        "space": space.config(),
        "task": Classification().config(),
        "data": Digits(batch_size=256, validation=0.2).config(),
        "skeleton": skeleton.config(),
    }
    objectives: Any = {"val/accuracy": "max", "latency_ms": "min"}
    reference = {"val/accuracy": 0.0, "latency_ms": 10.0}
    settings: dict[str, Any] = {"members": members(space), "network": network} | more
    return Front("ParetoSearch", objectives, reference=reference, curve=((10, 1.0), (12, 3.5)), **settings)
