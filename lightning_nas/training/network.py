"""Training of one genotype: every child and every final network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle
from torchmetrics import MeanMetric, Metric

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.data.description import describe
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.files import expanded
from lightning_nas.runtime.parallel import keep_gradient_strides
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.module import GuardedModule, log_step
from lightning_nas.training.optimizer import Sgd
from lightning_nas.training.task import Classification, Task


class NetworkTraining(GuardedModule):
    """Trains the network of one genotype from scratch; the defaults are the recipe of the DARTS authors.

    Drop path is scheduled by the `DropPathSchedule` callback; cutout belongs to the data.

    Args:
        space: the space of the genotype.
        genotype: the architecture, a path to a file that holds it, or its plain data.
        skeleton: sizes of the network, with or without auxiliary head.
        task: loss and metric; None is `Classification()`.
        optimizer: SGD of the weights with its schedule.
        clip: largest norm of the gradient; None turns clipping off. `Trainer(gradient_clip_val=...)` overrides it.
        epochs: horizon of the schedule; None takes `Trainer.max_epochs`.
        weights: checkpoint of a `NetworkTraining` of the same architecture to start from; None starts from scratch.
        sync_metrics: average metrics over processes; off where each process trains a network of its own.
        execution: how the network is run: speed and memory, the same function.

    Raises:
        ValueError: the genotype is none of the space, or a file cannot be read.

    Example:
        >>> from lightning_nas import CellSkeleton
        >>> from lightning_nas.spaces import published
        >>> space, genotype = published("DARTS_V2")
        >>> training = NetworkTraining(space, genotype, CellSkeleton(cells=3, channels=4))
        >>> training(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        space: SearchSpace,
        genotype: Genotype | dict[str, Any] | str,
        skeleton: Skeleton,
        task: Task | None = None,
        optimizer: Sgd = Sgd(),
        clip: float | None = 5.0,
        epochs: int | None = None,
        weights: str | None = None,
        sync_metrics: bool = True,
        execution: Execution = Execution(),
    ) -> None:
        super().__init__(skeleton, task or Classification(), epochs)
        if clip is not None and clip <= 0:
            raise ValueError(f"NetworkTraining(clip={clip}): give a positive number, or None to turn clipping off.")
        self.space, self.optimizer, self.clip, self.execution = space, optimizer, clip, execution
        self.genotype = space.check(read_genotype(genotype))
        self.network = space.build(self.genotype, skeleton, execution)
        if weights is not None:
            self.network.load_state_dict(read_weights(weights))
        self.val_metric, self.test_metric = (self.task.metric(skeleton, sync_metrics) for _ in range(2))
        self._handles: list[RemovableHandle] = []
        self.val_loss, self.test_loss = (MeanMetric(sync_on_compute=sync_metrics) for _ in range(2))

    def configure_callbacks(self) -> list[Callback]:
        """No callbacks; the first hook of a run, where norms that a CPU cannot compute are refused.

        Raises:
            MisconfigurationException: names the trainer's argument and the remedy.
        """
        strategy = self.trainer.strategy
        if getattr(strategy, "_layer_sync", None) is not None and strategy.root_device.type == "cpu":
            raise MisconfigurationException(
                "Trainer(sync_batchnorm=True) needs GPUs: torch's norm has no CPU kernel. Leave it out. "
                + self.skeleton.synchronized_norm(supernet=False)
            )
        return []

    def recorded(self) -> dict[str, Any]:
        """The arguments without references to files, so that a checkpoint stands alone: it has the weights itself."""
        return {**super().recorded(), "genotype": self.genotype, "weights": None}

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        logits: Tensor = self.network(images).logits
        return logits

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.trainer.world_size > 1:
            self._handles = keep_gradient_strides(self.network.parameters())

    def on_train_end(self) -> None:
        super().on_train_end()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        self.check_batch(batch, "train")
        inputs = self.inputs(batch)
        with self.explain_out_of_memory(len(inputs)):
            loss = self.task.loss(self.network(inputs), batch)
        self.guard_loss(loss, batch_idx)
        log_step(self, "train/loss", loss, len(inputs), prog_bar=True)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate("val", batch, self.val_loss, self.val_metric)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate("test", batch, self.test_loss, self.test_metric)

    def _evaluate(self, kind: str, batch: Any, loss: Metric, metric: Metric) -> None:
        self.check_batch(batch, kind)
        output = self.network(self.inputs(batch))
        loss.update(self.task.loss(output, batch))
        self.task.update(metric, output, batch)
        self.log(f"{kind}/loss", loss, on_step=False, on_epoch=True)
        self.log(f"{kind}/{self.task.metric_name}", metric, on_step=False, on_epoch=True, prog_bar=True)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Class probabilities (B, classes)."""
        return self(self.task.inputs(batch)).softmax(-1)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Size, normalisation and classes of the images go along, for whoever runs the network elsewhere."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        checkpoint["input"] = describe(data, self.image_shape).to_dict()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizer = self.optimizer.build(self.network.parameters())
        return {"optimizer": optimizer, "lr_scheduler": self.optimizer.scheduler(optimizer, self.horizon)}

    def configure_gradient_clipping(
        self,
        optimizer: Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        if gradient_clip_val is not None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif self.clip is not None:
            self.clip_gradients(optimizer, self.clip, "norm")


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Weights and buffers of the network in a checkpoint of `NetworkTraining`.

    Raises:
        ValueError: no such file, or no such checkpoint.
    """
    if not expanded(path).is_file():
        raise ValueError(f"weights={str(path)!r}: no such file. Give a checkpoint that a NetworkTraining has saved.")
    state = torch.load(expanded(path), map_location="cpu", weights_only=True).get("state_dict", {})
    prefix = "network."
    found = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not found:
        raise ValueError(f"weights={str(path)!r} is no checkpoint of a NetworkTraining: it holds no network.")
    return found


def read_genotype(source: Genotype | Mapping[str, Any] | str | Path) -> Genotype:
    """The genotype itself, from its plain data, or from a file.

    Raises:
        ValueError: the file or the data is no genotype.
    """
    if isinstance(source, Genotype):
        return source
    return Genotype.from_dict(source) if isinstance(source, Mapping) else Genotype.load(source)
