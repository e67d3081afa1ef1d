"""Children whose weights exist already: paths of a trained supernet."""

from __future__ import annotations

from pathlib import Path as FilePath
from typing import Any, get_args

import lightning as L
import torch
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import nn

from lightning_nas.config import Configurable, foreign_config
from lightning_nas.data import Bilevel
from lightning_nas.evaluators.base import Evaluator, Job, quiet
from lightning_nas.evaluators.path_score import Path, Statistics, evaluating, score_path
from lightning_nas.execution.settings import Execution
from lightning_nas.inheritance.transfer import read_source
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.files import expanded
from lightning_nas.runtime.seeding import use_seed
from lightning_nas.spaces.base import SearchSpace, SupernetSpace
from lightning_nas.training.task import check_data
from lightning_nas.trials.trial import Evaluation


class SupernetEvaluator(Evaluator):
    """Scores children as paths of a supernet that a search has trained, so that every sampler can search in it.

    The search that uses it has the space and the skeleton of the supernet. A child costs some forward passes. The
    fidelity of proposals has nothing to set and must be the default.

    Args:
        checkpoint: of a search of supernets, whatever its method.
        datamodule: its validation images score the children, its training images give the statistics.
        batches: validation batches that each child is scored on; they are read once and kept on the device.
        statistics: "batch": norms use each batch's own statistics; "recalibrated": running ones computed anew for each
            child; "running": those of the supernet, which are a mixture of all paths.
        recalibrate: training batches for these statistics.
        execution: how the supernet is run: speed and memory, the same function.

    Raises:
        ValueError: no such file, it holds no supernet, or a number is out of range.
    """

    def __init__(
        self,
        checkpoint: str | FilePath,
        datamodule: L.LightningDataModule,
        batches: int = 10,
        statistics: Statistics = "batch",
        recalibrate: int = 20,
        execution: Execution = Execution(),
    ) -> None:
        self.checkpoint, self.datamodule, self.execution = expanded(checkpoint), datamodule, execution
        self.batches, self.statistics, self.recalibrate = batches, statistics, recalibrate
        for name, value in (("batches", batches), ("recalibrate", recalibrate)):
            if value < 1:
                raise ValueError(f"SupernetEvaluator({name}={value}): give at least 1.")
        if statistics not in get_args(Statistics):
            choices = ", ".join(get_args(Statistics))
            raise ValueError(f"SupernetEvaluator(statistics={statistics!r}): give one of {choices}.")
        if not self.checkpoint.is_file():
            raise ValueError(f"SupernetEvaluator(checkpoint={str(checkpoint)!r}): no such file.")
        self._weights = read_source(self.checkpoint)
        if not self._weights.mixture:
            raise ValueError(
                f"SupernetEvaluator(checkpoint={str(checkpoint)!r}) holds no supernet: give the checkpoint of a search."
            )
        self._supernet: nn.Module | None = None
        self._kept: dict[str, list[Any]] = {}

    def recorded(self) -> dict[str, Any]:
        """The arguments; a data module that is no `Configurable` by its class and hyper-parameters."""
        arguments = super().recorded()
        if not isinstance(self.datamodule, Configurable):
            arguments["datamodule"] = foreign_config(self.datamodule)
        return arguments

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:
        """Refuse a space or a skeleton that is not the supernet's.

        Raises:
            MisconfigurationException: names what differs.
        """
        check_data(skeleton, self.datamodule)
        if not isinstance(space, SupernetSpace):
            raise MisconfigurationException(f"SupernetEvaluator: {type(space).__name__} has no supernet.")
        with torch.device("meta"):
            wanted = space.build(None, skeleton).state_dict()
        found = self._weights.state
        differing = sorted(
            key
            for key in wanted.keys() | found.keys()
            if key not in wanted or key not in found or wanted[key].shape != found[key].shape
        )
        if differing:
            raise MisconfigurationException(
                f"SupernetEvaluator(checkpoint={str(self.checkpoint)!r}) is no supernet of this {type(space).__name__} "
                f"on {skeleton}: {len(differing)} tensors differ, such as {differing[0]}. Give the space and the "
                "skeleton of the search that trained it."
            )

    def evaluate(self, job: Job) -> Evaluation:
        """The metric of the path on the validation batches.

        Raises:
            ValueError: the fidelity asks for something.
        """
        fidelity = job.proposal.fidelity
        if (fidelity.cells, fidelity.channels, fidelity.resolution, fidelity.share) != (None, None, None, 1.0):
            raise ValueError(f"A path of a supernet has no other sizes than it: leave out {fidelity}.")
        space = job.space
        assert isinstance(space, SupernetSpace)
        supernet = self._loaded(job)
        path = Path(supernet, space.path(job.proposal.genotype))
        training = self._read("train", self.recalibrate, job) if self.statistics == "recalibrated" else []
        batches = self._read("val", self.batches, job)
        with evaluating(supernet, self.statistics):
            score = score_path(path, batches, job.task, job.skeleton, job.task.inputs, training)
        return Evaluation({f"val/{job.task.metric_name}": float(score)})

    def _loaded(self, job: Job) -> nn.Module:
        if self._supernet is None:
            assert isinstance(job.space, SupernetSpace)
            self._supernet = job.space.build(None, job.skeleton, self.execution).to(job.device)
            self._supernet.load_state_dict(self._weights.state)
        return self._supernet

    def _read(self, part: str, count: int, job: Job) -> list[Any]:
        """The first batches of a part, as a trainer moves them to the device, without augmentation."""
        if part not in self._kept:
            reader = _Reader()
            with quiet(), use_seed(0):
                _trainer(job, count).validate(reader, datamodule=_Part(self.datamodule, part), verbose=False)
            self._kept[part] = reader.batches
        return self._kept[part]


def _trainer(job: Job, count: int) -> L.Trainer:
    device = job.device
    return L.Trainer(
        accelerator=device.type,
        devices=1 if device.index is None or device.type == "cpu" else [device.index],
        num_nodes=1,
        limit_val_batches=count,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=job.folder,
    )


class _Reader(L.LightningModule):
    """Keeps the batches that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[Any] = []

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self.batches.append(batch)


class _Part(L.LightningDataModule):
    """The training or the validation images of another data module, as validation images."""

    def __init__(self, datamodule: L.LightningDataModule, part: str) -> None:
        super().__init__()
        self.inner, self.part = datamodule, part

    def prepare_data(self) -> None:
        self.inner.prepare_data()

    def setup(self, stage: str) -> None:
        self.inner.setup("fit")

    def val_dataloader(self) -> Any:
        if self.part == "val":
            return self.inner.val_dataloader()
        if isinstance(self.inner, Bilevel):
            return self.inner.half_loaders()["train"]
        return self.inner.train_dataloader()

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.inner.on_before_batch_transfer(batch, dataloader_idx)

    def transfer_batch_to_device(self, batch: Any, device: Any, dataloader_idx: int) -> Any:
        return self.inner.transfer_batch_to_device(batch, device, dataloader_idx)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        return self.inner.on_after_batch_transfer(batch, dataloader_idx)
