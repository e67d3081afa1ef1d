"""Every bad input gets one clear error, which names the argument, the value and the remedy, before work starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from PIL import Image
from torch import Tensor

from lightning_nas import (
    CellSkeleton,
    DartsSearch,
    GdasSearch,
    Genotype,
    NetworkTraining,
    NonFiniteLossError,
    StagedSkeleton,
)
from lightning_nas.data import Bilevel, Digits, ImageFolder
from lightning_nas.spaces import DartsSpace, NasBench201Space, published


def search(**sizes: Any) -> GdasSearch:
    return GdasSearch(
        NasBench201Space(), StagedSkeleton(**{"channels": 4, "cells_per_stage": 1, "in_channels": 1, **sizes})
    )


class Watched(L.Callback):
    """Remembers whether any training step was started."""

    started = False

    def on_train_batch_start(self, *_: Any) -> None:
        self.started = True


def refused(module: L.LightningModule, data: Any, trainer_kwargs: dict[str, Any], **more: Any) -> str:
    """The error's text; no training step may have started."""
    watched = Watched()
    trainer = L.Trainer(**{**trainer_kwargs, "max_epochs": 1, "callbacks": [watched], **more})
    with pytest.raises((MisconfigurationException, ValueError)) as caught:
        trainer.fit(module, datamodule=data)
    assert not watched.started
    return str(caught.value)


def bilevel() -> Bilevel:
    return Bilevel(Digits(batch_size=64))


CONFLICTS: dict[str, tuple[Callable[[], L.LightningModule], Callable[[], Any], dict[str, Any], tuple[str, ...]]] = {
    "plain data module": (search, lambda: Digits(), {}, ("datamodule=Digits", "Bilevel(datamodule")),
    "classes": (lambda: search(classes=7), bilevel, {}, ("10 classes", "classes=7", "set classes=10")),
    "channels": (lambda: search(in_channels=3), bilevel, {}, ("1 channels", "in_channels=3", "set in_channels=1")),
    "size": (
        lambda: DartsSearch(DartsSpace(), CellSkeleton(cells=3, channels=4, in_channels=1, auxiliary=True)),
        bilevel,
        {},
        ("8x8 pixels", "at least 29", "auxiliary"),
    ),
    "norms of all ranks": (
        search,
        bilevel,
        {"strategy": "ddp", "sync_batchnorm": True},
        (
            "sync_batchnorm=True",
            "leave it out",
            "StagedSkeleton(norm=Norm(affine=False, statistics='running', sync=True))",
        ),
    ),
    "norms of all ranks on a CPU": (
        lambda: NetworkTraining(*published("DARTS_V2"), CellSkeleton(cells=1, channels=4, in_channels=1)),
        lambda: Digits(batch_size=64),
        {"strategy": "ddp", "sync_batchnorm": True},
        ("sync_batchnorm=True", "needs GPUs", "Leave it out", "Norm(affine=True, statistics='running', sync=True)"),
    ),
    "clipping": (search, bilevel, {"gradient_clip_val": 2.0}, ("gradient_clip_val=2.0", "GdasSearch(clip=2.0)")),
    "accumulation": (search, bilevel, {"accumulate_grad_batches": 2}, ("accumulate_grad_batches=2", "batch_size")),
    "no horizon": (search, bilevel, {"max_epochs": -1, "max_steps": 3}, ("max_epochs=-1", "epochs=...")),
}


@pytest.mark.parametrize("case", CONFLICTS)
def test_conflicts_are_refused(case: str, trainer_kwargs: dict[str, Any]) -> None:
    module, data, settings, expected = CONFLICTS[case]
    text = refused(module(), data(), trainer_kwargs, **settings)
    for part in expected:
        assert part in text


def test_half_precision_with_a_scaler_is_refused(trainer_kwargs: dict[str, Any]) -> None:
    from lightning.pytorch.plugins import MixedPrecision

    plugin = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu"))  # type: ignore[attr-defined]
    assert "bf16-mixed" in refused(search(), bilevel(), trainer_kwargs, plugins=[plugin])


def test_labels_of_a_foreign_data_module_are_checked_at_the_first_batch(trainer_kwargs: dict[str, Any]) -> None:
    class Foreign(L.LightningDataModule):
        def train_dataloader(self) -> Any:
            data = torch.utils.data.TensorDataset(torch.randn(8, 1, 8, 8), torch.full((8,), 12))
            return torch.utils.data.DataLoader(data, batch_size=4)

        def val_dataloader(self) -> Any:
            return self.train_dataloader()

    space, genotype = published("DARTS_V1")
    module = NetworkTraining(space, genotype, CellSkeleton(cells=2, channels=4, in_channels=1))
    trainer = L.Trainer(**trainer_kwargs, max_epochs=1, num_sanity_val_steps=0)
    with pytest.raises(MisconfigurationException, match=r"label 12.*classes=10.*set classes=13"):
        trainer.fit(module, datamodule=Foreign())


def test_unknown_candidate() -> None:
    with pytest.raises(ValueError, match=r"'conv_9x9' is unknown.*sep_conv_3x3.*register_candidate"):
        DartsSpace(candidates=["conv_9x9"])


def test_genotype_of_another_space(tmp_path: Path) -> None:
    _, genotype = published("DARTS_V2")
    genotype.save(tmp_path / "genotype.yaml")
    with pytest.raises(ValueError, match="one of DartsSpace, not of NasBench201Space"):
        NetworkTraining(NasBench201Space(), str(tmp_path / "genotype.yaml"), StagedSkeleton())


def test_genotype_file_cut_short(tmp_path: Path) -> None:
    space, genotype = published("DARTS_V2")
    file = tmp_path / "genotype.yaml"
    genotype.save(file)
    whole = file.read_text()
    for cut in (0, 10, 25, len(whole) // 2, len(whole) - 20):
        file.write_text(whole[:cut])
        with pytest.raises(ValueError, match=r"genotype|decision|option"):
            NetworkTraining(space, str(file), CellSkeleton(cells=1, channels=2))
    with pytest.raises(ValueError, match="no such file"):
        NetworkTraining(space, str(tmp_path / "missing.yaml"), CellSkeleton())


def image_folder(root: Path) -> Path:
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for index in range(8):
            Image.new("L", (8, 8), index * 20).save(root / name / f"{index}.png")
    return root


def test_broken_image_folders(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    missing = Bilevel(ImageFolder(str(tmp_path / "nowhere"), batch_size=4))
    assert "nowhere" in refused(search(classes=2), missing, trainer_kwargs)
    root = image_folder(tmp_path / "images")
    (root / "fish").mkdir()
    assert "fish" in refused(search(classes=3), Bilevel(ImageFolder(str(root), batch_size=4)), trainer_kwargs)
    (root / "fish").rmdir()
    (root / "dog" / "3.png").write_bytes(b"no image at all")
    assert "3.png" in refused(search(classes=2), Bilevel(ImageFolder(str(root), batch_size=4)), trainer_kwargs)


class BreaksAt(L.Callback):
    """Makes the images of one batch infinite."""

    def __init__(self, epoch: int, batch: int) -> None:
        self.epoch, self.batch = epoch, batch

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, self.batch):
            images: Tensor = batch["train"][0] if isinstance(batch, dict) else batch[0]
            images.fill_(float("nan"))


@pytest.mark.parametrize("kind", ["search", "training"])
def test_nan_loss_names_step_and_last_good_checkpoint(
    kind: str, tmp_path: Path, trainer_kwargs: dict[str, Any]
) -> None:
    genotype = NasBench201Space().sample(torch.Generator())
    skeleton = StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)
    module = search() if kind == "search" else NetworkTraining(NasBench201Space(), genotype, skeleton)
    data = bilevel() if kind == "search" else Digits(batch_size=256)
    checkpoint = ModelCheckpoint(tmp_path, filename="good")
    kwargs = {**trainer_kwargs, "enable_checkpointing": True, "max_epochs": 3, "limit_train_batches": 3}
    trainer = L.Trainer(**kwargs, callbacks=[checkpoint, BreaksAt(1, 2)])
    with pytest.raises(NonFiniteLossError, match=r"nan in epoch 1, batch 2.*good\.ckpt") as caught:
        trainer.fit(module, datamodule=data)
    assert "learning rate" in str(caught.value)


def test_out_of_memory_names_batch_size_and_channels(trainer_kwargs: dict[str, Any]) -> None:
    module = search()

    def exhausted(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    module.supernet.register_forward_pre_hook(exhausted)
    trainer = L.Trainer(**trainer_kwargs, max_epochs=1, num_sanity_val_steps=0)
    with pytest.raises(RuntimeError, match=r"batch_size=64 and channels=4: lower.*Execution\(checkpoint_cells=True\)"):
        trainer.fit(module, datamodule=bilevel())


def test_real_out_of_memory_on_the_cpu() -> None:
    module = search()
    with (
        pytest.raises(RuntimeError, match=r"Out of memory.*batch_size=3.*channels=4"),
        module.explain_out_of_memory(3),
    ):
        torch.empty(2**48)  # a petabyte


def test_genotype_plain_data() -> None:
    with pytest.raises(ValueError, match="complete genotype"):
        Genotype.from_dict(["no", "mapping"])
