"""Augmentation of whole batches of images as pure functions of (images, uniform numbers): no loop over images.

Random numbers are arguments, so the caller decides where they come from. `draws_BK` holds uniform numbers in [0, 1),
one row for each image. Suffixes of names give the shape:

    B images   C channels   H height   W width   K uniform numbers for each image
    `images_BCHW`: uint8 in 0..255, or floating point
    `mask_BHW`, `flip_B`: bool      `top_B`, `left_B`, `y_B`, `x_B`: int64, in pixels
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn import functional as F

from lightning_nas.runtime.memory import sent

_GREY = (0.299, 0.587, 0.114)  # luma of ITU-R BT.601, which PIL uses


def below(draws_B: Tensor, count: int) -> Tensor:
    """Integers 0..count-1, int64, from uniform numbers in [0, 1).

    Example:
        >>> below(torch.tensor([0.0, 0.49, 0.99]), 2).tolist()
        [0, 0, 1]
    """
    return (draws_B * count).long().clamp_(max=count - 1)  # the clamp is for float32 products that round up to `count`


def pad_crop(images_BCHW: Tensor, draws_B2: Tensor, padding: int) -> Tensor:
    """A random window of the original size out of each image padded with zeros.

    Args:
        images_BCHW: any dtype.
        draws_B2: uniform numbers for (top, left).
        padding: pixels of zeros on each side.

    Example:
        >>> image = torch.tensor([[[[1, 2], [3, 4]]]])
        >>> pad_crop(image, torch.tensor([[0.0, 0.0]]), 1).flatten().tolist()
        [0, 0, 0, 1]
    """
    if padding == 0:
        return images_BCHW
    batch, channels, height, width = images_BCHW.shape
    offsets = 2 * padding + 1
    top_B, left_B = below(draws_B2[:, 0], offsets), below(draws_B2[:, 1], offsets)
    padded = functional.pad(images_BCHW, (padding,) * 4)
    # Every run of `width` pixels is a row of an overlapping view, so that a window is `height` copied rows of it.
    runs = padded.flatten().unfold(0, width, 1)
    row, plane = padded.shape[-1], padded.shape[-1] * padded.shape[-2]
    device = images_BCHW.device
    planes_BC = plane * torch.arange(batch * channels, device=device).view(batch, channels)
    rows_H = row * torch.arange(height, device=device)
    first_BCH = planes_BC[:, :, None] + (row * top_B + left_B)[:, None, None] + rows_H
    return runs.index_select(0, first_BCH.flatten()).view(images_BCHW.shape)


def horizontal_flip(images_BCHW: Tensor, flip_B: Tensor) -> Tensor:
    """Mirrors the images for which `flip_B` (bool) is true.

    Example:
        >>> horizontal_flip(torch.tensor([[[[1, 2]]], [[[1, 2]]]]), torch.tensor([True, False])).flatten().tolist()
        [2, 1, 1, 2]
    """
    batch = len(images_BCHW)
    both = torch.cat([images_BCHW, images_BCHW.flip(-1)])
    return both.index_select(0, torch.arange(batch, device=images_BCHW.device) + batch * flip_B)


def cutout(images_BCHW: Tensor, draws_B2: Tensor, side: int) -> Tensor:
    """Sets a square to zero, cut off at the border: to be applied after normalisation, so zero is the mean colour.

    The centre is any pixel with equal chance, and the square spans `centre - side // 2` to `centre + side // 2`
    (exclusive), as in the DARTS authors' code: an odd `side` removes one row and column less.

    Args:
        images_BCHW: normalised images.
        draws_B2: uniform numbers for the centre (y, x).
        side: length in pixels.
    """
    if side == 0:
        return images_BCHW
    height, width = images_BCHW.shape[-2:]
    y_B, x_B = below(draws_B2[:, 0], height), below(draws_B2[:, 1], width)
    mask_BHW = _band(y_B, height, side)[:, :, None] & _band(x_B, width, side)[:, None, :]
    return images_BCHW.masked_fill(mask_BHW[:, None], 0)


def _band(centre_B: Tensor, length: int, side: int) -> Tensor:
    """(B, length) bool: the positions from `centre - side // 2` to `centre + side // 2`, exclusive."""
    distance = torch.arange(length, device=centre_B.device) - centre_B[:, None]
    return (distance >= -(side // 2)) & (distance < side // 2)


def normalize(images_BCHW: Tensor, mean_C: Tensor, std_C: Tensor) -> Tensor:
    """uint8 in 0..255, or floating point in 0..1, to float32 with the given mean and standard deviation taken out.

    Example:
        >>> image = torch.full((1, 1, 1, 2), 255, dtype=torch.uint8)
        >>> normalize(image, torch.tensor([0.5]), torch.tensor([0.25])).flatten().tolist()
        [2.0, 2.0]
    """
    scale = 1 if images_BCHW.is_floating_point() else 255
    mean, std = mean_C[:, None, None], std_C[:, None, None]
    return (images_BCHW.float() - mean * scale) / (std * scale)


def resized_crop(images_BCHW: Tensor, draws_B4: Tensor, area: float, ratio: float = 4 / 3) -> Tensor:
    """A random window of random area and aspect ratio, scaled back to the image's size by bilinear interpolation.

    Args:
        images_BCHW: uint8 or floating point.
        draws_B4: uniform numbers for (area, aspect ratio, top, left).
        area: smallest share of the image that is kept, in (0, 1].
        ratio: largest aspect ratio; the smallest is its inverse.

    Returns:
        Floating point, in the range of the input, the size of the input.
    """
    images = images_BCHW if images_BCHW.is_floating_point() else images_BCHW.float()
    share_B = area + (1 - area) * draws_B4[:, 0]
    aspect_B = torch.exp((2 * draws_B4[:, 1] - 1) * math.log(ratio))
    width_B, height_B = (share_B * aspect_B).sqrt().clamp(max=1), (share_B / aspect_B).sqrt().clamp(max=1)
    # affine_grid measures from -1 to 1: a window of share s can move its centre by 1 - s to either side
    y_B, x_B = (2 * draws_B4[:, 2] - 1) * (1 - height_B), (2 * draws_B4[:, 3] - 1) * (1 - width_B)
    zero_B = torch.zeros_like(y_B)
    theta_B23 = torch.stack([width_B, zero_B, x_B, zero_B, height_B, y_B], 1).view(-1, 2, 3).to(images.dtype)
    grid = functional.affine_grid(theta_B23, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def color_jitter(images_BCHW: Tensor, draws_B3: Tensor, strength: float) -> Tensor:
    """Brightness, contrast and saturation, in this order, each multiplied by 1 - strength to 1 + strength.

    Args:
        images_BCHW: floating point in 0..1; saturation is left alone unless there are three channels.
        draws_B3: uniform numbers for (brightness, contrast, saturation).
        strength: in [0, 1).
    """
    factors_B3 = 1 + strength * (2 * draws_B3 - 1)
    brightness, contrast, saturation = (factor[:, None, None, None] for factor in factors_B3.unbind(1))
    images = (images_BCHW * brightness).clamp(0, 1)
    level = _grey(images).mean((1, 2, 3), keepdim=True)
    images = torch.lerp(level, images, contrast).clamp(0, 1)
    if images.shape[1] != 3:
        return images
    return torch.lerp(_grey(images), images, saturation).clamp(0, 1)


def _grey(images_BCHW: Tensor) -> Tensor:
    if images_BCHW.shape[1] != 3:
        return images_BCHW.mean(1, keepdim=True)
    grey_C = sent(_GREY, images_BCHW.device, images_BCHW.dtype)
    return (images_BCHW * grey_C[:, None, None]).sum(1, keepdim=True)


def channel_statistics(images_BCHW: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 images, in units of 255. Exact: from counts of values.

    A channel that is constant gets the standard deviation 1.

    Example:
        >>> channel_statistics(torch.tensor([0, 255], dtype=torch.uint8).view(1, 1, 1, 2))
        ((0.5,), (0.5,))
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    means, stds = [], []
    for channel in images_BCHW.unbind(1):
        share = torch.bincount(channel.flatten(), minlength=256).double() / channel.numel()
        mean = (share * levels).sum()
        means.append(float(mean))
        stds.append(float((share * (levels - mean) ** 2).sum().sqrt()) or 1.0)
    return tuple(means), tuple(stds)


def shrink(images: Tensor, size: int) -> Tensor:
    """Images (B, C, H, W) whose shorter side is brought down to `size` pixels, bilinear with antialiasing.

    The sides keep their ratio; images of that size already are returned as they are.

    Args:
        images: floating.
        size: pixels of the shorter side, at most what it has.

    Raises:
        ValueError: no images, or smaller than `size`.

    Example:
        >>> shrink(torch.rand(2, 3, 8, 12), 4).shape
        torch.Size([2, 3, 4, 6])
    """
    if images.dim() != 4:
        raise ValueError(f"inputs of shape {tuple(images.shape)} are no images (B, C, H, W), so they have no size.")
    height, width = images.shape[2:]
    side = min(height, width)
    if size > side:
        raise ValueError(f"size={size} is more than the {height}x{width} pixels of the images: give at most {side}.")
    if size == side:
        return images
    shape = (round(height * size / side), round(width * size / side))
    # in half precision the kernel is missing on some devices, and its weights would be coarse
    wide = images if images.dtype in (torch.float32, torch.float64) else images.float()
    return F.interpolate(wide, shape, mode="bilinear", antialias=True).to(images.dtype)
