"""Sections of `gpu.py` on real fits: the extrapolated GDAS search, and where a step waits for the device."""

from __future__ import annotations

import tempfile
import time
from typing import Any

import lightning as L
import torch
from gpu_device import CUDA, Waits, peak_of, wait
from gpu_run import Section, Settings

from lightning_nas import Adam, CellSkeleton, DartsSearch, EnasSearch, GdasSearch, Norm, Sgd, StagedSkeleton
from lightning_nas.callbacks import TemperatureSchedule
from lightning_nas.data import Augment, Bilevel, ImageData, ImageFolder, Phased
from lightning_nas.data.loading import ImageSet, InMemory
from lightning_nas.data.reading import DataError
from lightning_nas.spaces import DartsSpace, NasBench201Space

EPOCHS, IMAGES = 250, 50_000
MEAN, STD = (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)


class RandomImages(ImageData):
    """Random images of CIFAR-10's size."""

    class_names = tuple("0123456789")
    shape = (3, 32, 32)

    def __init__(self, number: int, batch_size: int) -> None:
        super().__init__(
            batch_size=batch_size, validation=0.0, augment=Augment(crop=4, flip=True), mean=MEAN, std=STD, workers=0,
            split_seed=0, predict_root=None,
        )  # fmt: skip
        self.number = number

    def load_training(self) -> ImageSet:
        source = torch.Generator().manual_seed(0)
        images = torch.randint(256, (self.number, *self.shape), generator=source, dtype=torch.uint8)
        return InMemory(images, torch.randint(10, (self.number,), generator=source))

    load_test = load_training


def images(settings: Settings) -> tuple[ImageData, str]:
    """CIFAR-10 from folders if they are given, else random images of its number and size; and what they are."""
    number, why = 512 if settings.smoke else IMAGES, "no --root"
    if settings.root is not None:
        folder = settings.root / "train" if (settings.root / "train").is_dir() else settings.root
        try:
            data = ImageFolder(folder, settings.batch, validation=0.0, test=0.0, mean=MEAN, std=STD)
            return data, f"{len(data.training):,} images of {folder}"
        except (DataError, OSError, ValueError) as error:
            why = f"--root failed: {error}"
    return RandomImages(number, settings.batch), f"{number:,} SYNTHETIC images ({why})"


class Clock(L.Callback):
    """Seconds and batches of each training epoch; stops the fit at the deadline."""

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.epochs: list[tuple[float, int]] = []

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        wait()
        self.begin, self.batches = time.perf_counter(), 0

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.batches += 1
        if time.perf_counter() > self.deadline:
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        wait()
        self.epochs.append((time.perf_counter() - self.begin, self.batches))


def quiet_trainer(folder: str, epochs: int, callbacks: list[L.Callback], **more: Any) -> L.Trainer:
    """One that does nothing but train."""
    return L.Trainer(
        max_epochs=epochs, accelerator="auto", devices=1, callbacks=callbacks, limit_val_batches=0, logger=False,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False, default_root_dir=folder,
        **more,
    )  # fmt: skip


def gdas(settings: Settings) -> GdasSearch:
    """The recipe of NAS-Bench-201's authors."""
    norm, small = Norm(affine=False, statistics="batch"), settings.smoke
    skeleton = StagedSkeleton(channels=4 if small else 16, cells_per_stage=1 if small else 5, norm=norm)
    sgd = Sgd(lr_min=0.001, weight_decay=5e-4, nesterov=True)
    return GdasSearch(NasBench201Space(), skeleton, optimizer=sgd, architecture_optimizer=Adam(), epochs=EPOCHS)


def search(settings: Settings, section: Section) -> None:
    """Two epochs of the GDAS recipe after some batches to warm up; validation is left out, as in the authors' clock."""
    loaded, text = images(settings)
    data = Bilevel(loaded, fraction=0.5)
    section.note("data", text)

    def measure() -> dict[str, Any]:
        module, clock = gdas(settings), Clock(section.deadline)
        with tempfile.TemporaryDirectory() as folder:
            schedule = TemperatureSchedule(10.0, 0.1)
            quiet_trainer(folder, 1, [schedule], limit_train_batches=3 if settings.smoke else 20).fit(module, data)
            quiet_trainer(folder, 2, [clock, TemperatureSchedule(10.0, 0.1)]).fit(module, data)
        return {**_extrapolated(clock, data), "data": text}

    found = section.item("gdas", measure)
    if found:
        print(
            f"{text}; measured {found['measured_epochs']:.2f} epochs: {found['seconds_an_epoch']:.2f} s an epoch",
            end="",
        )
        print(f" of {found['batches']} batches, {EPOCHS} epochs {found['extrapolated'] / 60:.1f} minutes", flush=True)


def _extrapolated(clock: Clock, data: Bilevel) -> dict[str, Any]:
    seconds, done = (sum(values) for values in zip(*clock.epochs, strict=True))
    whole = len(data.half_loaders()["train"])
    epoch = seconds / done * whole
    return {
        "epochs": clock.epochs, "measured_epochs": done / whole, "batches": whole,
        "seconds_an_epoch": epoch, "extrapolated": EPOCHS * epoch,
    }  # fmt: skip


class Watch(L.Callback):
    """Lets torch warn of each wait, from the third batch of a phase to the last, loading of batches included."""

    def __init__(self, waits: Waits) -> None:
        self.waits, self.seen, self.steps = waits, {"": 0}, 0

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, _: int) -> None:
        kind = ",".join(batch)
        self.seen[kind] = self.seen.get(kind, 0) + 1
        self.steps += self.seen[kind] > 2
        self.waits.watch(self.seen[kind] > 2)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.is_last_batch:
            self.waits.watch(False)


def waits(settings: Settings, section: Section) -> None:
    """Where, and how often, a step of a real fit waits for the device: a draw has to, once."""
    if not CUDA:
        print("torch's synchronisation debug mode needs CUDA: the fits run, nothing is counted")
    cells = CellSkeleton(cells=settings.cells, channels=settings.channels)
    stages = StagedSkeleton(channels=settings.channels, cells_per_stage=1)
    searches = {
        "darts": lambda: DartsSearch(DartsSpace(nodes=settings.nodes), cells),
        "darts, second order": lambda: DartsSearch(DartsSpace(nodes=settings.nodes), cells, order=2),
        "gdas": lambda: GdasSearch(NasBench201Space(), stages),
        "enas": lambda: EnasSearch(NasBench201Space(), stages, round_size=4),
    }
    for name, make in searches.items():
        section.item(name, lambda n=name, m=make: _waits(n, m(), settings))


def _waits(name: str, module: L.LightningModule, settings: Settings) -> dict[str, Any]:
    found, inner = Waits(), RandomImages(12 * 2 * settings.batch, settings.batch)
    watch = Watch(found)
    with tempfile.TemporaryDirectory() as folder, found.caught():
        if name == "enas":  # its fit needs validation, which is not watched
            inner.validation, data = 0.2, Phased(inner, weight_steps=6, sampler_steps=6)
            trainer = quiet_trainer(folder, 1, [watch], num_sanity_val_steps=0)
            trainer.limit_val_batches = 1
        else:
            data, trainer = Bilevel(inner, fraction=0.5), quiet_trainer(folder, 1, [watch])
        trainer.fit(module, data)
    each = {place: count / max(watch.steps, 1) for place, count in found.places.most_common()}
    print(f"{name}: {sum(each.values()):.2f} waits a step over {watch.steps} steps")
    for place, count in each.items():
        print(f"    {count:>6.2f} x {place}")
    return {"steps": watch.steps, "waits_a_step": each}


def memory(settings: Settings, section: Section) -> None:
    """Bytes at the peak of three steps of the GDAS recipe as a real fit."""

    def fit() -> None:
        with tempfile.TemporaryDirectory() as folder:
            data = Bilevel(RandomImages(3 * 2 * settings.batch, settings.batch), fraction=0.5)
            quiet_trainer(folder, 1, []).fit(gdas(settings), data)

    def measure() -> dict[str, int]:
        peak = peak_of(lambda: fit, times=1)
        print(f"GDAS search, batch {settings.batch}: {peak / 1e6:.0f} MB at its peak")
        return {"peak": peak}

    section.item("gdas search", measure)
