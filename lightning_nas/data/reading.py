"""Image files: their heads, and their pixels as tensors."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from PIL import ExifTags, Image, ImageOps
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor


class DataError(MisconfigurationException, ValueError):
    """Data that cannot be used as asked: the text names the argument or file, its value and the remedy."""


EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_GREY = {"1", "L", "LA", "La", "I", "F"}
_WITH_EXIF = {"JPEG", "MPO", "WEBP"}
_TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What brings an image of each EXIF orientation upright."""
# decoding small files holds Python's lock nearly all the time: threads would double the time (measured at 32x32)
_THREADS_FROM = 64 * 64


class Header(NamedTuple):
    """What the head of an image file says: size in pixels, and whether it has one channel."""

    height: int
    width: int
    grey: bool


def read_header(path: str) -> Header:
    """Size and channels of an image, without decoding it.

    Raises:
        DataError: the file is no image.
    """
    try:
        with Image.open(path) as image:
            height, width = (image.width, image.height) if _lies(image) else (image.height, image.width)
            return Header(height, width, image.mode in _GREY or image.mode.startswith("I;16"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error


def read_image(path: str, shape: tuple[int, int, int]) -> Tensor:
    """One image as uint8 (C, H, W); another size is scaled to cover (H, W), and its centre kept.

    It stands as viewers show it: turned and mirrored as its EXIF orientation says, as phones write it. Grey becomes
    colour by repetition, colour becomes grey by luma; transparency is dropped, 16-bit grey is scaled to 8.

    Raises:
        DataError: the file cannot be read or decoded.
    """
    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    try:
        # the file in one read: more than twice as fast as handing PIL its name
        image: Image.Image = Image.open(io.BytesIO(Path(path).read_bytes()))
        size = (height, width) if _lies(image) else (width, height)
        if image.size != size:
            image.draft(mode, size)  # JPEG only: decodes at the nearest larger power-of-two fraction
        image = _upright(_convert(image, mode), _orientation(image))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), method=Image.Resampling.BICUBIC)
    pixels: Tensor = pil_to_tensor(image)
    return pixels


def read_images(paths: Sequence[str], shape: tuple[int, int, int]) -> Tensor:
    """All images as one uint8 tensor (N, C, H, W), large ones by a few threads.

    Raises:
        DataError: a file cannot be read or decoded; it is named.
    """
    images = torch.empty((len(paths), *shape), dtype=torch.uint8)

    def read(position: int) -> None:
        images[position] = read_image(paths[position], shape)

    if shape[1] * shape[2] <= _THREADS_FROM:
        for position in range(len(paths)):
            read(position)
        return images
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for _ in pool.map(read, range(len(paths))):
            pass
    return images


def _orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 is upright, and from 5 on height and width change places.

    PIL turns TIFF by itself. Other formats count only where it stands in the head: a search would decode the image.
    """
    if image.format == "TIFF" or (image.format not in _WITH_EXIF and "exif" not in image.info):
        return 1
    found = image.getexif().get(ExifTags.Base.Orientation, 1)
    return found if found in _TURNS else 1


def _lies(image: Image.Image) -> bool:
    return _orientation(image) >= 5


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode == mode:
        image.load()
        return image
    if image.mode.startswith("I"):  # 16 bits of grey: PIL's own conversion would clip at 255
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    elif image.mode == "P":  # a palette may hold transparency, which only RGBA keeps without a warning
        image = image.convert("RGBA")
    return image.convert(mode)


def _unreadable(path: str, error: Exception) -> DataError:
    return DataError(f"The image {path} cannot be read ({error}). Replace the file or remove it from the folder.")
