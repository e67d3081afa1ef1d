"""`Bilevel`: the two halves of a training set that a bilevel search needs."""

from __future__ import annotations

from typing import Any, cast

import lightning as L
from lightning.pytorch.utilities import CombinedLoader
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, RandomSampler, SequentialSampler, Subset

from lightning_nas.config import Configurable, foreign_config
from lightning_nas.data.loading import check_batch_size, evaluation_loader, size_of, split, training_loader, world
from lightning_nas.data.reading import DataError

PARTS = ("train", "val")
_KEPT = (
    *("batch_size", "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn"),
    *("multiprocessing_context", "prefetch_factor", "persistent_workers"),
)


class Bilevel(L.LightningDataModule, Configurable):
    """Splits the training set of another data module: one half trains weights, the other the architecture.

    A training batch is `{"train": batch, "val": batch}`, an epoch as long as the longer half. Both halves are shuffled,
    independently, and both are augmented in training. Batch size, workers and collation are those of the inner
    module's training loader. Validation uses the inner module's validation loader if it has one, else the architecture
    half in fixed order (without augmentation where that is done after the transfer to the device, as in `ImageData`;
    transforms inside a user's own data set still apply). Test and prediction are the inner module's.

    Args:
        datamodule: any module whose `train_dataloader` gives one torch `DataLoader` over a set of known length.
        fraction: share of the training set that trains weights, in (0, 1).
        seed: seed of the split.

    Raises:
        ValueError: `fraction` is out of range, or `datamodule` is no data module or itself a `Bilevel`.

    Example:
        >>> from lightning_nas.data import Digits
        >>> data = Bilevel(Digits(batch_size=32), fraction=0.5)
        >>> data.setup("fit")
        >>> images, targets, positions = next(iter(data.train_dataloader()))[0]["val"]
        >>> images.shape, data.classes
        (torch.Size([32, 1, 8, 8]), 10)
    """

    def __init__(self, datamodule: L.LightningDataModule, fraction: float = 0.5, seed: int = 0) -> None:
        super().__init__()
        if not 0 < fraction < 1:
            raise ValueError(f"fraction={fraction} must lie between 0 and 1: the share that trains weights, often 0.5.")
        if isinstance(datamodule, Bilevel):
            raise ValueError("datamodule is already a Bilevel: give the data module inside it.")
        if not isinstance(datamodule, L.LightningDataModule):
            raise ValueError(f"datamodule={datamodule!r} must be a LightningDataModule.")
        self.datamodule = datamodule
        self.fraction = fraction
        self.seed = seed
        self._template: DataLoader[Any] | None = None
        self._halves: dict[str, Subset[Any]] = {}

    @property
    def trainer(self) -> L.Trainer | None:
        """The trainer, which the inner module is given too."""
        return self._trainer

    @trainer.setter
    def trainer(self, trainer: L.Trainer | None) -> None:
        self._trainer = trainer
        if "datamodule" in self.__dict__:  # not yet in Lightning's own constructor
            self.datamodule.trainer = trainer

    def recorded(self) -> dict[str, Any]:
        """Arguments for a config; a module that is no `Configurable` is recorded by class and hyper-parameters."""
        arguments = super().recorded()
        if not isinstance(self.datamodule, Configurable):
            arguments["datamodule"] = foreign_config(self.datamodule)
        return arguments

    @property
    def classes(self) -> int | None:
        """Number of classes; None if the inner module does not say (so for the following too)."""
        return cast("int | None", getattr(self.datamodule, "classes", None))

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes."""
        return cast("tuple[str, ...] | None", getattr(self.datamodule, "class_names", None))

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """(channels, height, width)."""
        return cast("tuple[int, int, int] | None", getattr(self.datamodule, "shape", None))

    @property
    def mean(self) -> tuple[float, ...] | None:
        """Mean of each channel."""
        return cast("tuple[float, ...] | None", getattr(self.datamodule, "mean", None))

    @property
    def std(self) -> tuple[float, ...] | None:
        """Standard deviation of each channel."""
        return cast("tuple[float, ...] | None", getattr(self.datamodule, "std", None))

    @property
    def predict_files(self) -> tuple[str, ...] | None:
        """Files of the prediction batches."""
        return cast("tuple[str, ...] | None", getattr(self.datamodule, "predict_files", None))

    def prepare_data(self) -> None:
        """The inner module's."""
        self.datamodule.prepare_data()

    def setup(self, stage: str) -> None:
        """The inner module's; then splits its training set.

        Raises:
            DataError: the training loader cannot be split, or a half is smaller than one batch.
        """
        self.datamodule.setup(stage)
        if stage in ("fit", "validate"):
            self._split()

    def _split(self) -> None:
        loader = _checked(self.datamodule.train_dataloader(), type(self.datamodule).__name__)
        parts = split(size_of(loader.dataset), 1 - self.fraction, self.seed, "bilevel")
        self._template = loader
        self._halves = {name: Subset(loader.dataset, part) for name, part in zip(PARTS, parts, strict=True)}
        for name, half in self._halves.items():
            what = f"the {name!r} half of the training set (fraction={self.fraction})"
            check_batch_size(len(half), cast(int, loader.batch_size), world(self.trainer)[0], what)

    def _options(self) -> dict[str, Any]:
        loader = self._template
        assert loader is not None, "setup() comes first"
        return {name: getattr(loader, name) for name in _KEPT}

    def half_loaders(self) -> dict[str, DataLoader[Any]]:
        """A shuffled loader for each half."""
        options = self._options() | {"drop_last": self._template is not None and self._template.drop_last}
        halves = self._halves.items()
        return {name: training_loader(half, trainer=self.trainer, key=name, **options) for name, half in halves}

    def train_dataloader(self) -> CombinedLoader:
        """Both halves together; the shorter one starts again until the longer one ends."""
        return CombinedLoader(self.half_loaders(), "max_size_cycle")

    def val_dataloader(self) -> Any:
        """The inner module's validation loader, or the architecture half in fixed order."""
        if is_overridden("val_dataloader", self.datamodule, L.LightningDataModule):
            own = self.datamodule.val_dataloader()
            if own is not None and not (isinstance(own, (list, tuple)) and len(own) == 0):
                return own
        return evaluation_loader(self._halves["val"], trainer=self.trainer, mixed=True, **self._options())

    def test_dataloader(self) -> Any:
        """The inner module's."""
        return self.datamodule.test_dataloader()

    def predict_dataloader(self) -> Any:
        """The inner module's."""
        return self.datamodule.predict_dataloader()

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The inner module's, for each part of a training batch."""
        return self._each(batch, lambda part: self.datamodule.on_before_batch_transfer(part, dataloader_idx))

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        """The inner module's, for each part of a training batch."""
        return self._each(batch, lambda part: self.datamodule.transfer_batch_to_device(part, device, dataloader_idx))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        """The inner module's, for each part of a training batch."""
        return self._each(batch, lambda part: self.datamodule.on_after_batch_transfer(part, dataloader_idx))

    def _each(self, batch: Any, hook: Any) -> Any:
        training = self.trainer is None or self.trainer.training
        if training and isinstance(batch, dict) and batch and set(batch) <= set(PARTS):
            return {name: hook(part) for name, part in batch.items()}
        return hook(batch)

    def state_dict(self) -> dict[str, Any]:
        """The inner module's."""
        return self.datamodule.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """The inner module's."""
        self.datamodule.load_state_dict(state_dict)

    def teardown(self, stage: str) -> None:
        """The inner module's."""
        self.datamodule.teardown(stage)

    def on_exception(self, exception: BaseException) -> None:
        """The inner module's."""
        self.datamodule.on_exception(exception)


def _checked(loader: Any, owner: str) -> DataLoader[Any]:
    """`loader`, if two shuffled halves can take its place without dropping something that the user asked for."""
    remedy = (
        "Give a data module whose train_dataloader() returns one DataLoader with batch_size and a map-style dataset."
    )
    if not isinstance(loader, DataLoader):
        raise DataError(f"{owner}.train_dataloader() gives a {type(loader).__name__}, which cannot be split. {remedy}")
    if isinstance(loader.dataset, IterableDataset):
        raise DataError(f"{owner}'s training set is an IterableDataset, which cannot be split. {remedy}")
    known = (RandomSampler, SequentialSampler, DistributedSampler)
    if loader.batch_size is None or not isinstance(loader.sampler, known):
        what = "batch_sampler" if loader.batch_size is None else type(loader.sampler).__name__
        raise DataError(f"{owner}'s training loader has its own {what}, which the halves could not keep. {remedy}")
    return loader
