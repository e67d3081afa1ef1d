"""The images that a cost is taken for."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_nas.cost.network import deployed
from lightning_nas.skeleton import Skeleton
from lightning_nas.space import SearchSpace

ImageSize = int | Sequence[int]
"""Height and width, or one number for both."""


def height_and_width(owner: str, image_size: ImageSize) -> tuple[int, int]:
    """The size as a pair.

    Raises:
        ValueError: it is none, or not positive.
    """
    pair = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(
            f"{owner}(image_size={image_size}): give the height and width of the images, or one number for both."
        )
    return pair


def check_images(owner: str, size: tuple[int, int], space: SearchSpace, skeleton: Skeleton) -> None:
    """Refuse images that are too small for the network.

    Raises:
        ValueError: they are.
    """
    least = deployed(skeleton).minimum_size
    if min(size) < least:
        raise ValueError(
            f"{owner}(image_size={list(size)}): the networks of {type(space).__name__} take images of at least {least} "
            "pixels here; give the size of the images that the final network will get."
        )


def check_positive(owner: str, **values: int | None) -> None:
    """Refuse numbers below 1; None is let through.

    Raises:
        ValueError: names the argument.
    """
    for name, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"{owner}({name}={value}): give an integer of at least 1.")
