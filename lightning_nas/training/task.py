"""Tasks: from a batch and a network's output to a loss and a metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from lightning_nas.config import Configurable
from lightning_nas.networks.skeleton import NetworkOutput, Skeleton


class Task(nn.Module, Configurable, ABC):
    """What a network is trained for. Higher metrics are better."""

    metric_name: str = "accuracy"

    @abstractmethod
    def inputs(self, batch: Any) -> Tensor:
        """What goes into the network."""

    @abstractmethod
    def loss(self, output: NetworkOutput, batch: Any) -> Tensor:
        """The loss to train with, a scalar; the auxiliary head counts if the output has one."""

    @abstractmethod
    def metric(self, skeleton: Skeleton, sync: bool = True) -> Metric:
        """A fresh metric; without `sync` it is not averaged over processes."""

    @abstractmethod
    def update(self, metric: Metric, output: NetworkOutput, batch: Any) -> None:
        """Let a metric see a batch."""

    def check(self, batch: Any, skeleton: Skeleton) -> None:
        """Refuse a batch that does not fit the network; nothing by default."""


class Classification(Task):
    """Cross entropy on batches (images (B, C, H, W) floating, targets (B,) int64); the metric is accuracy.

    Args:
        label_smoothing: share of the probability spread over all classes, in [0, 1).
        class_weights: weight of each class in the loss.
        auxiliary_weight: weight of the auxiliary head's loss.

    Raises:
        ValueError: a value out of range.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
        auxiliary_weight: float = 0.4,
    ) -> None:
        super().__init__()
        if not 0.0 <= label_smoothing < 1.0:
            raise ValueError(f"Classification(label_smoothing={label_smoothing}): give a number in [0, 1).")
        if class_weights is not None and (min(class_weights, default=-1) < 0 or max(class_weights) == 0):
            raise ValueError(f"Classification(class_weights={list(class_weights)}): give weights >= 0, not all 0.")
        if auxiliary_weight < 0:
            raise ValueError(f"Classification(auxiliary_weight={auxiliary_weight}): give a number >= 0.")
        self.label_smoothing, self.auxiliary_weight = label_smoothing, auxiliary_weight
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", weights, persistent=False)

    def inputs(self, batch: Any) -> Tensor:
        images: Tensor = batch[0]
        return images

    def loss(self, output: NetworkOutput, batch: Any) -> Tensor:
        loss = self._cross_entropy(output.logits, batch[1])
        if output.auxiliary is not None:
            loss = loss + self.auxiliary_weight * self._cross_entropy(output.auxiliary, batch[1])
        return loss

    def _cross_entropy(self, logits: Tensor, targets: Tensor) -> Tensor:
        weights = None if self.class_weights is None else self.class_weights.to(logits.dtype)
        return F.cross_entropy(logits, targets, weights, label_smoothing=self.label_smoothing)

    def metric(self, skeleton: Skeleton, sync: bool = True) -> Metric:
        # Torchmetrics' own checks wait for the device in each batch; `check` looks at the first one's labels.
        return MulticlassAccuracy(skeleton.classes, average="micro", sync_on_compute=sync, validate_args=False)

    def update(self, metric: Metric, output: NetworkOutput, batch: Any) -> None:
        metric.update(output.logits.detach(), batch[1])

    def check(self, batch: Any, skeleton: Skeleton) -> None:
        """Refuse images of another size or number of channels, and labels outside the classes.

        Raises:
            MisconfigurationException: the batch does not fit the skeleton.
        """
        images, targets = batch[0], batch[1]
        check_images(skeleton, tuple(images.shape[1:]))
        lowest, highest = int(targets.min()), int(targets.max())
        if highest >= skeleton.classes or lowest < 0:
            raise MisconfigurationException(
                f"The data has the label {min(lowest, 0) or highest}, but the skeleton has classes={skeleton.classes}: "
                + ("count labels from 0." if lowest < 0 else f"set classes={highest + 1} or more.")
            )
        if self.class_weights is not None and len(self.class_weights) != skeleton.classes:
            raise MisconfigurationException(
                f"class_weights has {len(self.class_weights)} entries, the skeleton classes={skeleton.classes}: "
                "give one weight for each class."
            )


def check_data(skeleton: Skeleton, data: object) -> None:
    """Compare what a data module says of its data, `classes` and `shape`, with the skeleton.

    Raises:
        MisconfigurationException: they do not fit.
    """
    classes, shape = getattr(data, "classes", None), getattr(data, "shape", None)
    if isinstance(classes, int):
        check_classes(skeleton, classes)
    if isinstance(shape, tuple) and len(shape) == 3:
        check_images(skeleton, shape)


def check_images(skeleton: Skeleton, shape: tuple[int, ...]) -> None:
    """Refuse images (C, H, W) that the network cannot take.

    Raises:
        MisconfigurationException: wrong number of channels, or too small.
    """
    channels, height, width = shape
    if channels != skeleton.in_channels:
        raise MisconfigurationException(
            f"The images have {channels} channels, but the skeleton has in_channels={skeleton.in_channels}: "
            f"set in_channels={channels}."
        )
    if min(height, width) < skeleton.minimum_size:
        raise MisconfigurationException(
            f"The images are {height}x{width} pixels, too small for the skeleton, which needs at least "
            f"{skeleton.minimum_size}: enlarge them, turn off the auxiliary head, or use stem='cifar'."
        )


def check_classes(skeleton: Skeleton, classes: int) -> None:
    """Refuse data with another number of classes.

    Raises:
        MisconfigurationException: the numbers differ.
    """
    if classes != skeleton.classes:
        raise MisconfigurationException(
            f"The data has {classes} classes, but the skeleton has classes={skeleton.classes}: set classes={classes}."
        )
