"""What is done to a batch of raw images on the training device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from lightning_nas.functional import augment as ops


@dataclass(frozen=True)
class Augment:
    """Settings of the augmentation of training images, in the order in which they are applied.

    Args:
        crop: pixels of zeros put around an image before a window of its own size is cut out; 0 turns it off.
        resized_crop: smallest share of the area that a window scaled back to the full size keeps (ImageNet: 0.08);
            0 turns it off.
        flip: mirror half of the images.
        jitter: strength of random brightness, contrast and saturation, in [0, 1); 0 turns it off.
        cutout: side in pixels of the square set to zero after normalisation; 0 turns it off.

    Raises:
        ValueError: a setting is out of range, or both croppings are on.

    Example:
        >>> Augment(cutout=16)
        Augment(crop=4, resized_crop=0.0, flip=True, jitter=0.0, cutout=16)
    """

    crop: int = 4
    resized_crop: float = 0.0
    flip: bool = True
    jitter: float = 0.0
    cutout: int = 0

    def __post_init__(self) -> None:
        for name in ("crop", "cutout"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name}={getattr(self, name)} must be a number of pixels, 0 or more (0 turns it off)."
                )
        if not 0 <= self.resized_crop <= 1:
            raise ValueError(f"resized_crop={self.resized_crop} must be a share of the area from 0 (off) to 1.")
        if not 0 <= self.jitter < 1:
            raise ValueError(f"jitter={self.jitter} must be at least 0 (off) and below 1.")
        if self.crop and self.resized_crop:
            raise ValueError(f"crop={self.crop} and resized_crop={self.resized_crop} are two croppings: set one to 0.")

    def __call__(self, images_BCHW: Tensor, draw: Callable[[str, int], Tensor], mean: Tensor, std: Tensor) -> Tensor:
        """Augmented and normalised images, float32.

        Args:
            images_BCHW: uint8.
            draw: `draw(name, K)` gives uniform numbers of shape (B, K) for one purpose.
            mean: (C,), in units of 255.
            std: (C,), in units of 255.
        """
        images = images_BCHW
        if self.crop:
            images = ops.pad_crop(images, draw("crop", 2), self.crop)
        if self.resized_crop:
            images = ops.resized_crop(images.float() / 255, draw("resized_crop", 4), self.resized_crop)
        if self.flip:
            images = ops.horizontal_flip(images, draw("flip", 1)[:, 0] < 0.5)
        if self.jitter:
            images = images if images.is_floating_point() else images.float() / 255
            images = ops.color_jitter(images, draw("jitter", 3), self.jitter)
        images = ops.normalize(images, mean, std)
        return ops.cutout(images, draw("cutout", 2), self.cutout) if self.cutout else images
