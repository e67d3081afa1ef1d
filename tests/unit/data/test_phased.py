"""The two phases of an epoch."""

from __future__ import annotations

import pytest
import torch

from lightning_nas.config import instantiate
from lightning_nas.data import Bilevel, Digits, Phased
from lightning_nas.data.phased import PhaseLoader


def phased(**settings: int) -> Phased:
    data = Phased(Digits(batch_size=256, validation=0.1), fraction=0.5, **settings)
    data.setup("fit")
    return data


def positions(loader: PhaseLoader, epoch: int = 0) -> list[tuple[str, list[int]]]:
    loader.set_epoch(epoch)
    return [(name, part[2].tolist()) for batch in loader for name, part in batch.items()]


def test_phases_follow_one_another_on_disjoint_images() -> None:
    found = positions(phased(sampler_steps=2).train_dataloader())
    assert [name for name, _ in found] == ["train"] * 3 + ["val"] * 2
    seen = {name: {p for part, some in found if part == name for p in some} for name in ("train", "val")}
    assert not seen["train"] & seen["val"]
    assert len(seen["train"]) == sum(len(some) for part, some in found if part == "train"), "each image once"


def test_a_longer_phase_starts_again_in_another_order() -> None:
    loader = phased(sampler_steps=9, weight_steps=2).train_dataloader()
    assert len(loader) == 11
    found = positions(loader)
    assert [name for name, _ in found] == ["train"] * 2 + ["val"] * 9
    passes = [[p for _, some in found[begin : begin + 3] for p in some] for begin in (2, 5)]
    assert passes[0] != passes[1]
    assert sorted(passes[0]) == sorted(passes[1])
    assert positions(loader) == found, "a function of the epoch"
    assert positions(loader, epoch=1) != found


@pytest.mark.parametrize("place", [0, 1, 2, 3, 5, 9, 10])
def test_it_goes_on_at_its_place(place: int) -> None:
    whole = positions(phased(sampler_steps=7).train_dataloader(), epoch=3)
    stopped = phased(sampler_steps=7)
    loader = stopped.train_dataloader()
    loader.set_epoch(3)
    for _ in zip(range(place), loader, strict=False):
        pass
    again = phased(sampler_steps=7)
    again.load_state_dict(stopped.state_dict())
    loader = again.train_dataloader()
    assert positions(loader, epoch=3) == (whole[place:] or whole)
    assert positions(loader, epoch=3) == whole, "and begins the next epoch at its start"


def test_arguments() -> None:
    with pytest.raises(ValueError, match=r"Phased\(sampler_steps=-1\): give a number of 0 or more"):
        Phased(Digits(), sampler_steps=-1)
    with pytest.raises(ValueError, match=r"Phased\(weight_steps=0\): give at least 1, or None"):
        Phased(Digits(), weight_steps=0)
    with pytest.raises(ValueError, match="already a Bilevel"):
        Phased(Bilevel(Digits()))
    data = Phased(Digits(batch_size=8), 0.8, sampler_steps=3)
    again = instantiate(data.config())
    assert isinstance(again, Phased)
    assert (again.fraction, again.sampler_steps, again.weight_steps) == (0.8, 3, None)


def test_batches_are_transformed_as_in_training() -> None:
    data = phased(sampler_steps=1)
    for batch in data.train_dataloader():
        done = data.on_after_batch_transfer(batch, 0)
        ((name, (images, targets)),) = done.items()
        assert name in ("train", "val")
        assert images.dtype == torch.float32
        assert len(targets) == len(images)
