"""What a network has to be told of its images: it travels with checkpoints and exported networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True)
class InputDescription:
    """Size, normalisation and classes of the images that a network was trained on; None is unknown.

    Args:
        size: (height, width) in pixels.
        mean: of each channel, in units of 255: what the data takes out of images in [0, 1].
        std: standard deviation of each channel, in units of 255.
        class_names: in the order of the network's outputs.

    Raises:
        ValueError: a value out of range, or one of `mean` and `std` without the other.

    Example:
        >>> InputDescription(size=(32, 32), mean=(0.5,), std=(0.25,)).filled(InputDescription(class_names=("a", "b")))
        InputDescription(size=(32, 32), mean=(0.5,), std=(0.25,), class_names=('a', 'b'))
    """

    size: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            object.__setattr__(self, field.name, None if value is None else tuple(value))  # lists of plain data
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"size={list(self.size)}: give height and width, each at least 1 pixel.")
        if (self.mean is None) != (self.std is None) or len(self.mean or ()) != len(self.std or ()):
            raise ValueError(f"mean={self.mean}, std={self.std}: give both, one number for each channel.")
        if self.std is not None and min(self.std, default=0) <= 0:
            raise ValueError(f"std={list(self.std)} must be positive for every channel.")

    def filled(self, other: InputDescription) -> InputDescription:
        """What is unknown here taken from another description."""
        normalisation = self if self.mean is not None else other
        return InputDescription(
            self.size or other.size, normalisation.mean, normalisation.std, self.class_names or other.class_names
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: None if value is None else list(value) for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> InputDescription:
        """The description that `to_dict` has written; what it does not know is left out."""
        return cls(**{field.name: content.get(field.name) for field in fields(cls)})


def describe(data: object, shape: Sequence[int] | None = None) -> InputDescription:
    """What a data module says of its images.

    Args:
        data: any data module; `shape`, `mean`, `std` and `class_names` are read as far as it has them in that form.
        shape: (C, H, W) of images that were seen, for data that does not say.

    Example:
        >>> from lightning_nas.data import Digits
        >>> describe(Digits(size=16, mean=[0.3], std=[0.4])).size
        (16, 16)
    """
    found = getattr(data, "shape", None) or shape
    size = (int(found[1]), int(found[2])) if isinstance(found, (tuple, list)) and len(found) == 3 else None
    names = getattr(data, "class_names", None)
    class_names = tuple(str(name) for name in names) if isinstance(names, (tuple, list)) else None
    mean, std = (_numbers(getattr(data, name, None)) for name in ("mean", "std"))
    if not mean or len(mean) != len(std) or min(std) <= 0:
        mean = std = ()
    return InputDescription(size, mean or None, std or None, class_names)


def _numbers(value: Any) -> tuple[float, ...]:
    """A list, tensor or array as numbers; nothing of what a foreign data module may mean by another thing."""
    try:
        return tuple(float(number) for number in value)
    except (TypeError, ValueError):
        return ()
