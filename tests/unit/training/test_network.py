"""Training of one network: where it starts from, and how its gradients are clipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from lightning_nas import CellSkeleton, Genotype, NetworkTraining, StagedSkeleton
from lightning_nas.data import Digits
from lightning_nas.runtime.parallel import keep_gradient_strides
from lightning_nas.spaces import NasBench201Space, published

SKELETON = StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1)
SPACE = NasBench201Space()


def genotype() -> Genotype:
    return SPACE.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|none~1|avg_pool_3x3~2|")


def trained(folder: Path, trainer_kwargs: dict[str, Any], **arguments: Any) -> NetworkTraining:
    training = NetworkTraining(SPACE, genotype(), SKELETON, **arguments)
    trainer = L.Trainer(**trainer_kwargs, max_epochs=1, limit_train_batches=2, limit_val_batches=0)
    trainer.fit(training, Digits(batch_size=64))
    trainer.save_checkpoint(folder / "network.ckpt")
    return training


def test_it_starts_from_a_checkpoint(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    first = trained(tmp_path, trainer_kwargs)
    second = NetworkTraining(SPACE, genotype(), SKELETON, weights=str(tmp_path / "network.ckpt"))
    for key, value in first.network.state_dict().items():
        assert torch.equal(second.network.state_dict()[key], value), key
    assert second.hparams["weights"] is None, "a checkpoint of its own stands alone"
    scratch = NetworkTraining(SPACE, genotype(), SKELETON)
    assert not torch.equal(scratch.network.classifier.weight, first.network.classifier.weight)


def test_weights_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"weights='missing\.ckpt': no such file"):
        NetworkTraining(SPACE, genotype(), SKELETON, weights="missing.ckpt")
    torch.save({"state_dict": {"supernet.weight": torch.zeros(1)}}, tmp_path / "search.ckpt")
    with pytest.raises(ValueError, match="holds no network"):
        NetworkTraining(SPACE, genotype(), SKELETON, weights=str(tmp_path / "search.ckpt"))


class Norms(L.Callback):
    """Norm of the gradient at each step, behind clipping."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_zero_grad(self, trainer: L.Trainer, pl_module: Any, optimizer: Any) -> None:
        gradients = [p.grad.flatten() for p in pl_module.network.parameters() if p.grad is not None]
        if gradients:
            self.seen.append(float(torch.cat(gradients).norm()))


@pytest.mark.parametrize(
    ("clip", "of_trainer", "expected"), [(0.01, None, 0.01), (0.01, 0.02, 0.02), (None, None, None)]
)
def test_clipping(
    clip: float | None, of_trainer: float | None, expected: float | None, trainer_kwargs: dict[str, Any]
) -> None:
    norms = Norms()
    trainer = L.Trainer(
        **trainer_kwargs,
        max_epochs=1,
        limit_train_batches=3,
        limit_val_batches=0,
        gradient_clip_val=of_trainer,
        callbacks=[norms],
    )
    trainer.fit(NetworkTraining(SPACE, genotype(), SKELETON, clip=clip), Digits(batch_size=64))
    assert norms.seen
    if expected is None:
        assert min(norms.seen) > 0.1
    else:
        assert norms.seen == pytest.approx([expected] * len(norms.seen), rel=1e-3)


def test_metrics_of_a_child_are_its_own() -> None:
    training = NetworkTraining(SPACE, genotype(), SKELETON, sync_metrics=False)
    metrics = (training.val_metric, training.test_metric, training.val_loss, training.test_loss)
    assert not any(metric.sync_on_compute for metric in metrics)


def test_gradients_have_the_strides_that_torch_wants_of_several_devices() -> None:
    """Its DDP compares those of dimensions with one element too, which convolutions in channels_last choose freely."""
    network = NetworkTraining(*published("DARTS_V2"), CellSkeleton(cells=3, channels=4, in_channels=1)).network.train()

    def other_strides() -> set[str]:
        network.zero_grad()
        network(torch.rand(2, 1, 8, 8)).logits.sum().backward()
        return {name for name, p in network.named_parameters() if p.grad is not None and p.grad.stride() != p.stride()}

    assert other_strides()
    handles = keep_gradient_strides(network.parameters())
    assert not other_strides()
    for handle in handles:
        handle.remove()
    assert other_strides()
