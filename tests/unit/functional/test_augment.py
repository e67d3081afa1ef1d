"""The batch-wise augmentation against one image at a time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lightning_nas.data import Augment
from lightning_nas.data.augment import SampleDraws
from lightning_nas.functional import augment as ops
from lightning_nas.runtime.seeding import generator

CPU = torch.device("cpu")


def batch(count: int = 7, channels: int = 3, height: int = 9, width: int = 11) -> Tensor:
    size = (count, channels, height, width)
    return torch.randint(1, 256, size, dtype=torch.uint8, generator=generator(0, "images"))


def uniform(count: int, columns: int) -> Tensor:
    return torch.rand(count, columns, generator=generator(1, "draws"))


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_pad_crop_equals_a_loop_over_images(padding: int) -> None:
    images, draws = batch(), uniform(7, 2)
    result = ops.pad_crop(images, draws, padding)
    for image, (u, v), cropped in zip(images, draws.tolist(), result, strict=True):
        top, left = math.floor(u * (2 * padding + 1)), math.floor(v * (2 * padding + 1))
        padded = functional.pad(image, (padding,) * 4)
        assert torch.equal(cropped, padded[:, top : top + 9, left : left + 11])


def test_pad_crop_reaches_every_offset() -> None:
    images = batch(4, 1, 3, 3)
    corners = torch.tensor([[0.0, 0.0], [0.0, 0.9999999], [0.9999999, 0.0], [0.5, 0.5]])
    result = ops.pad_crop(images, corners, 1)
    assert torch.equal(result[3], images[3])
    assert torch.equal(result[0, 0, 1:, 1:], images[0, 0, :2, :2])
    assert torch.equal(result[1, 0, 1:, :2], images[1, 0, :2, 1:])
    assert result[2, 0, 2].sum() == 0


def test_flip_equals_a_loop_over_images() -> None:
    images, flip = batch(), uniform(7, 1)[:, 0] < 0.5
    assert flip.any()
    assert not flip.all()
    for image, mirrored, result in zip(images, flip, ops.horizontal_flip(images, flip), strict=True):
        assert torch.equal(result, torch.fliplr(image.permute(1, 2, 0)).permute(2, 0, 1) if mirrored else image)


@pytest.mark.parametrize("side", [0, 1, 4, 5, 8])
def test_cutout_equals_its_definition(side: int) -> None:
    images, draws = batch().float(), uniform(7, 2)
    result = ops.cutout(images, draws, side)
    for image, (u, v), cut in zip(images, draws.tolist(), result, strict=True):
        y, x = math.floor(u * 9), math.floor(v * 11)
        expected = image.clone()
        y1, y2 = max(0, y - side // 2), min(9, y + side // 2)
        x1, x2 = max(0, x - side // 2), min(11, x + side // 2)
        expected[:, y1:y2, x1:x2] = 0
        assert torch.equal(cut, expected)


def test_normalize_takes_bytes_and_shares_alike() -> None:
    images, mean, std = batch(), torch.tensor([0.4, 0.5, 0.6]), torch.tensor([0.2, 0.3, 0.4])
    expected = (images.double() / 255 - mean.double()[:, None, None]) / std.double()[:, None, None]
    result = ops.normalize(images, mean, std)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ops.normalize(images.float() / 255, mean, std), result, atol=1e-5, rtol=1e-5)


def test_resized_crop_of_the_whole_image_is_the_image() -> None:
    images = batch().float()
    draws = torch.tensor([[0.3, 0.5, 0.1, 0.9]]).expand(7, 4)  # ratio 1, area 1
    torch.testing.assert_close(ops.resized_crop(images, draws, area=1.0), images, atol=1e-3, rtol=1e-5)


def test_resized_crop_samples_the_window_it_was_asked_for() -> None:
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)  # a pixel's value is its column
    left = ops.resized_crop(ramp, torch.tensor([[0.0, 0.5, 0.0, 0.0]]), area=0.25)
    right = ops.resized_crop(ramp, torch.tensor([[0.0, 0.5, 0.0, 1.0]]), area=0.25)
    positions = torch.arange(16.0) / 2 - 0.25  # half the width: columns 0..8 seen at 16 points
    torch.testing.assert_close(left[0, 0, 3], positions.clamp(min=0), atol=1e-4, rtol=0)
    torch.testing.assert_close(right[0, 0, 3], (positions + 8).clamp(max=15), atol=1e-4, rtol=0)


def test_color_jitter_at_the_middle_changes_nothing_and_elsewhere_stays_in_range() -> None:
    images = batch().float() / 255
    torch.testing.assert_close(ops.color_jitter(images, torch.full((7, 3), 0.5), 0.4), images)
    strong = ops.color_jitter(images, uniform(7, 3), 0.9)
    assert strong.min() >= 0
    assert strong.max() <= 1
    assert not torch.equal(strong, images)


def test_color_jitter_scales_brightness_alone() -> None:
    images = batch().float() / 255 / 2
    brighter = ops.color_jitter(images, torch.tensor([[0.75, 0.5, 0.5]]).expand(7, 3), 0.4)
    torch.testing.assert_close(brighter, images * 1.2)


def test_channel_statistics_equal_torch() -> None:
    images = batch()
    mean, std = ops.channel_statistics(images)
    share = images.double() / 255
    torch.testing.assert_close(torch.tensor(mean, dtype=torch.float64), share.mean((0, 2, 3)))
    torch.testing.assert_close(torch.tensor(std, dtype=torch.float64), share.std((0, 2, 3), correction=0))
    assert ops.channel_statistics(torch.zeros(2, 1, 3, 3, dtype=torch.uint8))[1] == (1.0,)


def test_augmented_samples_do_not_depend_on_the_batch_they_come_in() -> None:
    images, mean, std = batch(8), torch.zeros(3), torch.ones(3)
    augment = Augment(crop=2, flip=True, cutout=4, jitter=0.2)

    def run(positions: Tensor, epoch: int = 0) -> Tensor:
        draws = SampleDraws(8, 0, epoch, CPU)  # a new one each time, as in another process
        return augment(images[positions], lambda name, columns: draws(name, columns, positions), mean, std)

    whole, order = run(torch.arange(8)), torch.tensor([3, 1, 7, 0, 2, 6, 5, 4])
    parts = torch.cat([run(order[:3]), run(order[3:])])
    torch.testing.assert_close(parts, whole[order])
    assert not torch.equal(run(torch.arange(8), epoch=1), whole)


def test_draws_of_one_purpose_do_not_change_with_another() -> None:
    positions = torch.arange(5)
    alone, both = SampleDraws(5, 0, 0, CPU), SampleDraws(5, 0, 0, CPU)
    both("crop", 2, positions)
    assert torch.equal(alone("flip", 1, positions), both("flip", 1, positions))
    assert not torch.equal(both("crop", 2, positions), both("cutout", 2, positions))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"crop": -1}, "crop=-1"),
        ({"cutout": -4}, "cutout=-4"),
        ({"jitter": 1.0}, "jitter=1.0"),
        ({"resized_crop": 2.0}, "resized_crop=2.0"),
        ({"crop": 4, "resized_crop": 0.08}, "crop=4 and resized_crop=0.08 are two croppings"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Augment(**settings)  # type: ignore[arg-type]
