"""Batch norm with the statistics of the batch."""

from __future__ import annotations

import pytest
import torch

from lightning_nas.functional.normalization import normalize


def test_one_value_a_channel_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        normalize(torch.ones(1, 4, 1, 1), None, None, 1e-5)
