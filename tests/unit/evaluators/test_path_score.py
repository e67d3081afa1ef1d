"""What a path is worth with the batch's statistics, the supernet's running ones, and ones computed anew."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from lightning_nas import (
    Classification,
    Derivation,
    MultiTrialSearch,
    Norm,
    RandomSharingSearch,
    RegularizedEvolution,
    Sgd,
    StagedSkeleton,
    SupernetEvaluator,
    UniformSampler,
)
from lightning_nas.data import Digits, Phased
from lightning_nas.evaluators.path_score import Path, evaluating, score_path
from lightning_nas.inheritance.recalibration import recalibrate
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import NasBench201Space

pytestmark = pytest.mark.slow

SPACE = NasBench201Space()
SKELETON = StagedSkeleton(channels=4, cells_per_stage=1, in_channels=1, norm=Norm(affine=False))


def supernet() -> nn.Module:
    """A supernet whose running statistics are far from any path's."""
    torch.manual_seed(0)
    network = SPACE.build(None, SKELETON).double()
    for name, buffer in network.named_buffers():
        if "running_mean" in name:
            buffer.normal_()
    return network.train()


def batches(count: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    source = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(8, 1, 8, 8, generator=source).double(), torch.randint(10, (8,), generator=source))
        for _ in range(count)
    ]


def images(batch: Any) -> Tensor:
    found: Tensor = batch[0]
    return found


@pytest.mark.parametrize("draw", range(5))
def test_recalibrated_path_is_the_recalibrated_child(draw: int) -> None:
    network, training = supernet(), batches(4, 1)
    genotype = SPACE.sample(generator(draw))
    child = SPACE.build(genotype, SKELETON).double()
    child.load_state_dict({key: value for key, value in network.state_dict().items() if key in child.state_dict()})
    recalibrate(child, training, images)
    child.eval()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    path = Path(network, SPACE.path(genotype))
    x = images(batches(1, 2)[0])
    with torch.no_grad(), evaluating(network, "recalibrated"):
        recalibrate(path, training, images)
        torch.testing.assert_close(path(x).logits, child(x).logits, rtol=1e-10, atol=1e-10)
    with torch.no_grad(), evaluating(network, "batch"):
        child.train()
        torch.testing.assert_close(path(x).logits, child(x).logits, rtol=1e-10, atol=1e-10)
    assert all(module.training for module in network.modules())
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items()), "as it was"


def test_each_candidate_is_recalibrated_by_itself() -> None:
    """The score of a path does not depend on those that were scored before it."""
    network, training, validation = supernet(), batches(3, 1), batches(2, 2)
    task, paths = Classification(), [Path(network, SPACE.path(SPACE.sample(generator(i)))) for i in range(6)]

    def scores(order: list[int]) -> dict[int, float]:
        with evaluating(network, "recalibrated"):
            return {i: float(score_path(paths[i], validation, task, SKELETON, images, training)) for i in order}

    assert scores([0, 1, 2, 3, 4, 5]) == scores([5, 3, 1, 0, 2, 4])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> FilePath:
    """A supernet trained for a while on digits."""
    folder = tmp_path_factory.mktemp("supernet")
    L.seed_everything(0, verbose=False)
    derivation = Derivation(2, batches=1, round_size=2)
    search = RandomSharingSearch(SPACE, SKELETON, derivation, optimizer=Sgd(0.1, nesterov=True))
    trainer = L.Trainer(
        max_epochs=12,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        enable_checkpointing=False,
        check_val_every_n_epoch=12,
    )
    trainer.fit(search, datamodule=Phased(Digits(batch_size=64, validation=0.2), fraction=0.9))
    trainer.save_checkpoint(folder / "search.ckpt")
    return folder / "search.ckpt"


def mean_accuracy(checkpoint: FilePath, statistics: Any, folder: FilePath) -> float:
    evaluator = SupernetEvaluator(checkpoint, Digits(batch_size=64, validation=0.2), 5, statistics, 10)
    search = MultiTrialSearch(UniformSampler(SPACE), evaluator, SKELETON, trials=20)
    L.seed_everything(5, verbose=False)
    fit(search, folder)
    found = [trial.metrics["val/accuracy"] for trial in search.runner.known.values()]
    assert len(found) == 20
    return sum(found) / 20


def fit(search: MultiTrialSearch, folder: FilePath) -> None:
    L.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    ).fit(search)


def test_running_statistics_of_the_supernet_do_not_describe_a_path(trained: FilePath, tmp_path: FilePath) -> None:
    batch, running, anew = (
        mean_accuracy(trained, statistics, tmp_path / statistics) for statistics in ("batch", "running", "recalibrated")
    )
    print(f"mean accuracy of 20 paths: batch {batch:.3f}, running {running:.3f}, recalibrated {anew:.3f}")
    assert batch > running + 0.05
    assert anew > running + 0.05
    assert abs(anew - batch) < 0.1


def test_any_sampler_searches_in_a_trained_supernet(trained: FilePath, tmp_path: FilePath) -> None:
    evaluator = SupernetEvaluator(trained, Digits(batch_size=64, validation=0.2), 3)
    search = MultiTrialSearch(RegularizedEvolution(SPACE, 5, 3), evaluator, SKELETON, trials=40)
    fit(search, tmp_path)
    rewards = [search.runner.known[number].reward or 0.0 for number in range(40)]
    assert sum(rewards[-10:]) > sum(rewards[:10])


def test_supernet_evaluator_refuses(trained: FilePath, tmp_path: FilePath) -> None:
    digits = Digits(batch_size=64, validation=0.2)
    with pytest.raises(ValueError, match=r"SupernetEvaluator\(checkpoint='none.ckpt'\): no such file"):
        SupernetEvaluator("none.ckpt", digits)
    with pytest.raises(ValueError, match=r"SupernetEvaluator\(batches=0\): give at least 1"):
        SupernetEvaluator(trained, digits, batches=0)
    with pytest.raises(ValueError, match=r"statistics='own'\): give one of batch, running, recalibrated"):
        SupernetEvaluator(trained, digits, statistics="own")  # type: ignore[arg-type]
    torch.save({"state_dict": {"network.weight": torch.ones(1)}}, tmp_path / "network.ckpt")
    with pytest.raises(ValueError, match="holds no supernet: give the checkpoint of a search"):
        SupernetEvaluator(tmp_path / "network.ckpt", digits)
    wide = StagedSkeleton(channels=8, cells_per_stage=1, in_channels=1, norm=Norm(affine=False))
    search = MultiTrialSearch(UniformSampler(SPACE), SupernetEvaluator(trained, digits), wide, trials=2)
    with pytest.raises(MisconfigurationException, match=r"tensors differ, such as .* Give the space and the skeleton"):
        fit(search, tmp_path)
