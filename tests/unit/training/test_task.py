"""Classification: losses, metrics and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch.nn import functional as F

from lightning_nas import CellSkeleton, Classification, NetworkOutput
from lightning_nas.training.task import check_classes, check_images

SKELETON = CellSkeleton(classes=3)


def batch(*labels: int, size: int = 8, channels: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(len(labels), channels, size, size), torch.tensor(labels)


def test_loss_is_the_cross_entropy_of_both_heads() -> None:
    logits, auxiliary, labels = torch.randn(4, 3), torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    task = Classification(label_smoothing=0.1, class_weights=[1, 2, 3], auxiliary_weight=0.25)
    terms = [
        F.cross_entropy(x, labels, torch.tensor([1.0, 2.0, 3.0]), label_smoothing=0.1) for x in (logits, auxiliary)
    ]
    both = task.loss(NetworkOutput(logits, auxiliary), (torch.zeros(4), labels))
    torch.testing.assert_close(both, terms[0] + 0.25 * terms[1])
    torch.testing.assert_close(task.loss(NetworkOutput(logits), (torch.zeros(4), labels)), terms[0])


def test_class_weights_follow_the_precision() -> None:
    task = Classification(class_weights=[1, 2, 3])
    assert task.loss(NetworkOutput(torch.randn(1, 3).double()), batch(1)).dtype == torch.float64
    assert task.state_dict() == {}


def test_the_metric_is_accuracy() -> None:
    task = Classification()
    metric = task.metric(SKELETON)
    logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]], requires_grad=True)
    task.update(metric, NetworkOutput(logits), batch(0, 1))
    assert float(metric.compute()) == 0.5
    assert metric.sync_on_compute
    assert not task.metric(SKELETON, sync=False).sync_on_compute


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (batch(0, 3), r"has the label 3, but the skeleton has classes=3: set classes=4 or more"),
        (batch(-1, 0), r"has the label -1, but .*: count labels from 0"),
        (batch(0, channels=1), r"images have 1 channels, but the skeleton has in_channels=3: set in_channels=1"),
        (batch(0, size=3), r"images are 3x3 pixels, too small for the skeleton, which needs at least 4"),
    ],
)
def test_batches_that_do_not_fit_are_refused(data: Any, message: str) -> None:
    with pytest.raises(MisconfigurationException, match=message):
        Classification().check(data, SKELETON)


def test_batches_that_fit_pass() -> None:
    Classification(class_weights=[1, 1, 1]).check(batch(0, 1, 2, size=4), SKELETON)
    check_images(SKELETON, (3, 4, 4))
    check_classes(SKELETON, 3)


def test_other_numbers_of_classes_are_refused() -> None:
    with pytest.raises(MisconfigurationException, match="data has 4 classes, but the skeleton has classes=3"):
        check_classes(SKELETON, 4)
    with pytest.raises(MisconfigurationException, match="class_weights has 2 entries, the skeleton classes=3"):
        Classification(class_weights=[1, 1]).check(batch(0), SKELETON)


@pytest.mark.parametrize(
    "arguments",
    [
        {"label_smoothing": 1.0},
        {"label_smoothing": -0.1},
        {"class_weights": [0.0, 0.0]},
        {"class_weights": [-1.0, 2.0]},
        {"class_weights": []},
        {"auxiliary_weight": -1},
    ],
)
def test_bad_settings_are_named(arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=rf"Classification\({name}=.*\): give"):
        Classification(**arguments)
