"""`Phased`: the two phases of an epoch in which one supernet is trained for all children."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from lightning_nas.data.bilevel import Bilevel


class PhaseLoader:
    """Batches of one loader, then of another: `{"train": batch}`, and after them `{"val": batch}`.

    A loader that is shorter than its phase starts again, in another order. The place in the epoch stands in the
    checkpoint, so a run that is resumed in the middle of an epoch goes on with the batch that is due.

    Args:
        loaders: of the phases, in their order.
        steps: number of batches of each.
    """

    def __init__(self, loaders: Mapping[str, DataLoader[Any]], steps: Mapping[str, int]) -> None:
        self.loaders, self.steps = dict(loaders), dict(steps)
        self.sampler = self  # where Lightning looks for `set_epoch`
        self._epoch, self._position = 0, 0

    def __len__(self) -> int:
        return sum(self.steps.values())

    @property
    def training(self) -> DataLoader[Any]:
        """The loader of the batches that train weights."""
        return self.loaders["train"]

    def set_epoch(self, epoch: int) -> None:
        """All orders are functions of the epoch."""
        self._epoch = epoch
        for name in self.loaders:
            self._shuffle(name, 0)

    def _shuffle(self, name: str, times: int) -> None:
        passes = -(-self.steps[name] // len(self.loaders[name])) or 1
        self.loaders[name].sampler.set_epoch(self._epoch * passes + times)  # type: ignore[attr-defined]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        position = self._position if self._position < len(self) else 0
        begin = 0
        for name, steps in self.steps.items():
            for batch in self._phase(name, max(position - begin, 0), steps):
                position += 1
                self._position = position
                yield {name: batch}
            begin += steps

    def _phase(self, name: str, done: int, steps: int) -> Iterator[Any]:
        while done < steps:
            times, skipped = divmod(done, len(self.loaders[name]))
            self._shuffle(name, times)
            for batch in islice(self.loaders[name], skipped, skipped + steps - done):
                done += 1
                yield batch

    def state_dict(self) -> dict[str, int]:
        """How many batches of the epoch were given."""
        return {"position": self._position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on behind them."""
        self._position = state["position"]


class Phased(Bilevel):
    """Splits the training set of another data module for a search that alternates between two phases in an epoch.

    Source: the alternation of Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018.

    The first batches of an epoch are `{"train": batch}` and train the weights of the supernet, those after them are
    `{"val": batch}`, of images that the weights never see, and teach the sampler. Everything else is as in `Bilevel`.

    Args:
        datamodule: as in `Bilevel`.
        fraction: share of the training set that trains weights, in (0, 1); 0.9 in ENAS.
        sampler_steps: length of the sampler's phase in batches, each for one path; 0 where the sampler learns nothing.
        weight_steps: length of the weights' phase in batches; None is once through their share.
        seed: seed of the split.

    Raises:
        ValueError: a number is out of range, or `datamodule` is no data module or split already.

    Example:
        >>> from lightning_nas.data import Digits
        >>> data = Phased(Digits(batch_size=256), fraction=0.5, sampler_steps=2)
        >>> data.setup("fit")
        >>> [list(batch) for batch in data.train_dataloader()]
        [['train'], ['train'], ['train'], ['val'], ['val']]
    """

    def __init__(
        self,
        datamodule: L.LightningDataModule,
        fraction: float = 0.9,
        sampler_steps: int = 0,
        weight_steps: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(datamodule, fraction, seed)
        if sampler_steps < 0:
            raise ValueError(f"Phased(sampler_steps={sampler_steps}): give a number of 0 or more.")
        if weight_steps is not None and weight_steps < 1:
            raise ValueError(f"Phased(weight_steps={weight_steps}): give at least 1, or None for all images once.")
        self.sampler_steps, self.weight_steps = sampler_steps, weight_steps
        self._loader: PhaseLoader | None = None
        self._resumed: dict[str, int] | None = None

    def train_dataloader(self) -> PhaseLoader:  # type: ignore[override]
        """One phase after the other."""
        loaders = self.half_loaders()
        steps = {"train": self.weight_steps or len(loaders["train"]), "val": self.sampler_steps}
        self._loader = PhaseLoader(loaders, steps)
        if self._resumed is not None:
            self._loader.load_state_dict(self._resumed)
            self._resumed = None
        return self._loader

    def state_dict(self) -> dict[str, Any]:
        """The inner module's, and the place in the epoch."""
        place = None if self._loader is None else self._loader.state_dict()
        return {"datamodule": super().state_dict(), "place": place}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        super().load_state_dict(state_dict["datamodule"])
        self._resumed = state_dict["place"]
