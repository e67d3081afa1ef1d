"""Images per second that reach a training step: this package's data path against torchvision's per-image transforms.

Both deliver what the CIFAR-10 recipes train on, through a Trainer whose module does nothing: images cropped from 4
pixels of zeros, mirrored, as float32 and normalised. The package keeps uint8 images in memory and treats a batch at
once on the training device; the other side is `torchvision.transforms` in a `DataLoader`, with the number of workers
that is best.

    python benchmarks/data_path.py            # two minutes on two cores
"""

from __future__ import annotations

import argparse
import statistics
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import torch
from harness import median_ratio, processor, record
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lightning_nas.data import ImageData
from lightning_nas.data.augment import Augment
from lightning_nas.data.loading import InMemory

MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.244, 0.262)


def pixels(count: int) -> Tensor:
    """Random images of CIFAR's size; what is done to them does not depend on what they show."""
    return torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class BatchWise(ImageData):
    """The package's data path."""

    def __init__(self, count: int, batch_size: int) -> None:
        super().__init__(
            batch_size=batch_size,
            validation=0.0,
            augment=Augment(crop=4, flip=True),
            mean=MEAN,
            std=STD,
            workers=0,
            split_seed=0,
            predict_root=None,
        )
        self.count = count

    class_names = tuple("0123456789")
    shape = (3, 32, 32)

    def load_training(self) -> InMemory:
        return InMemory(pixels(self.count), [index % 10 for index in range(self.count)])

    def load_test(self) -> InMemory:
        return self.load_training()


class PerImage(Dataset[tuple[Any, int]]):
    """As `torchvision.datasets.CIFAR10` has it: arrays in memory, a PIL image and its transforms for each item."""

    def __init__(self, count: int) -> None:
        self.arrays = pixels(count).permute(0, 2, 3, 1).numpy()
        crop = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
        self.transform = transforms.Compose([*crop, transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, position: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.arrays[position])), position % 10


class PerImageData(L.LightningDataModule):
    """The per-image side with a number of workers, which stay between epochs."""

    def __init__(self, count: int, batch_size: int, workers: int) -> None:
        super().__init__()
        self.count, self.batch_size, self.workers = count, batch_size, workers

    @cached_property
    def images(self) -> PerImage:
        return PerImage(self.count)

    def train_dataloader(self) -> DataLoader[Any]:
        pinned = torch.cuda.is_available()
        return DataLoader(
            self.images,
            self.batch_size,
            shuffle=True,
            num_workers=self.workers,
            persistent_workers=self.workers > 0,
            pin_memory=pinned,
        )


class Idle(L.LightningModule):
    """Takes batches and notes how many images an epoch brought in a second."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.rates: list[float] = []

    def on_train_epoch_start(self) -> None:
        self.images, self.began = 0, time.perf_counter()

    def training_step(self, batch: Any, batch_idx: int) -> None:
        assert batch[0].dtype == torch.float32
        self.images += len(batch[0])

    def on_train_epoch_end(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.rates.append(self.images / (time.perf_counter() - self.began))

    def configure_optimizers(self) -> None:
        return None


def rate(data: L.LightningDataModule) -> float:
    """Images per second in the second epoch; the first starts workers and fills caches."""
    module = Idle()
    quiet: dict[str, Any] = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = L.Trainer(max_epochs=2, devices=1, enable_model_summary=False, **quiet)
    trainer.fit(module, datamodule=data)
    return module.rates[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5, help="how often the sides take turns")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    settings = parser.parse_args()
    L.seed_everything(settings.seed, verbose=False)
    sides: dict[str, L.LightningDataModule] = {"batch-wise": BatchWise(settings.images, settings.batch)}
    for workers in settings.workers:
        sides[f"per image, {workers} workers"] = PerImageData(settings.images, settings.batch, workers)
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(settings.rounds):
        for name, data in sides.items():
            found[name].append(rate(data))
    medians = {name: statistics.median(values) for name, values in found.items()}
    package = found["batch-wise"]
    ratio = min(median_ratio(package, rates) for name, rates in found.items() if name != "batch-wise")
    print(f"{processor()}\n{'side':24}{'images/s':>12}")
    for name, value in medians.items():
        print(f"{name:24}{value:>12.0f}")
    print(f"ratio to the best of the others: {ratio:.1f}")
    results = {"images_per_second": found, "median": medians, "ratio": ratio}
    record("data_path", results, {k: v for k, v in vars(settings).items() if k != "output"}, settings.output)


if __name__ == "__main__":
    main()
