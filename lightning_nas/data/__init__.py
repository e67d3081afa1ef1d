"""Image data modules, and the split that a bilevel search needs."""

from __future__ import annotations

from lightning_nas.data.augment import Augment
from lightning_nas.data.base import ImageData
from lightning_nas.data.bilevel import Bilevel
from lightning_nas.data.description import InputDescription
from lightning_nas.data.digits import Digits
from lightning_nas.data.downloaded import Cifar10, Cifar100, FashionMnist
from lightning_nas.data.image_folder import ImageFolder
from lightning_nas.data.phased import Phased

__all__ = [
    "Augment",
    "Bilevel",
    "Cifar10",
    "Cifar100",
    "Digits",
    "FashionMnist",
    "ImageData",
    "ImageFolder",
    "InputDescription",
    "Phased",
]
