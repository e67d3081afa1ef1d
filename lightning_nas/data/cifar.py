"""CIFAR-10 and CIFAR-100."""

from __future__ import annotations

from torch import Tensor

from lightning_nas.data.downloaded import DownloadedData

_CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100 = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class Cifar10(DownloadedData):
    """50,000 training and 10,000 test images, 32x32 in colour, ten classes. Arguments: see `DownloadedData`.

    Example:
        >>> data = Cifar10("data", batch_size=96, cutout=16)
        >>> data.classes, data.shape, data.class_names[0]
        (10, (3, 32, 32), 'airplane')
    """

    source = "CIFAR10"
    # the DARTS authors' numbers
    published = ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768))

    @property
    def class_names(self) -> tuple[str, ...]:
        """From airplane to truck."""
        return tuple(_CIFAR10.split())

    @property
    def shape(self) -> tuple[int, int, int]:
        """(3, 32, 32)."""
        return 3, 32, 32

    def to_images(self, raw: Tensor) -> Tensor:
        """Channels moved to the front."""
        return raw.permute(0, 3, 1, 2).contiguous()


class Cifar100(Cifar10):
    """50,000 training and 10,000 test images, 32x32 in colour, a hundred classes. Arguments: see `DownloadedData`."""

    source = "CIFAR100"
    published = ((0.50707516, 0.48654887, 0.44091784), (0.26733429, 0.25643846, 0.27615047))

    @property
    def class_names(self) -> tuple[str, ...]:
        """From apple to worm."""
        return tuple(_CIFAR100.split())
