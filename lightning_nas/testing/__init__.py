"""Contracts of spaces, relaxations, samplers and searches as test classes to inherit, small spaces, and boring data.

```python
from lightning_nas.testing import SupernetSpaceContract

class TestMySpace(SupernetSpaceContract):
    def space(self):
        return MySpace()

    def skeleton(self):
        return MySkeleton(channels=4)
```

`SMALL_SPACES` has every space of the package on a small skeleton: to test a method on several of them.

They need pytest. The law tests run in float64 on the CPU: give small skeletons.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{part}" for part in ("space", "execution", "supernet", "relaxation", "sampler", "search"))
)

from lightning_nas.testing.boring import BoringData, BoringSkeleton, BoringSpace  # noqa: E402 - after the line above
from lightning_nas.testing.relaxation import RelaxationContract  # noqa: E402
from lightning_nas.testing.sampler import SamplerContract  # noqa: E402
from lightning_nas.testing.search import SearchContract  # noqa: E402
from lightning_nas.testing.small_spaces import SMALL_SPACES, SmallSpace  # noqa: E402
from lightning_nas.testing.space import SpaceContract  # noqa: E402
from lightning_nas.testing.supernet import SupernetSpaceContract  # noqa: E402

__all__ = [
    "SMALL_SPACES",
    "BoringData",
    "BoringSkeleton",
    "BoringSpace",
    "RelaxationContract",
    "SamplerContract",
    "SearchContract",
    "SmallSpace",
    "SpaceContract",
    "SupernetSpaceContract",
]
