"""Children that are trained: a fit with a trainer of its own for each."""

from __future__ import annotations

import copy
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import lightning as L
import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.config import Configurable, foreign_config
from lightning_nas.evaluators.base import Evaluator, Job, MetricHistory, callback_from, quiet
from lightning_nas.execution.settings import Execution
from lightning_nas.inheritance import WeightInheritance, WeightStore
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.seeding import generator, use_seed
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.network import NetworkTraining
from lightning_nas.training.optimizer import Sgd
from lightning_nas.training.reduced_fidelity import ReducedFidelity
from lightning_nas.training.task import check_data
from lightning_nas.trials.trial import Evaluation

Inherit = Literal["own", "parent", "all"]
_MANAGED = (
    "max_epochs",
    "max_steps",
    "min_epochs",
    "min_steps",
    "fast_dev_run",
    "overfit_batches",
    "accelerator",
    "devices",
    "num_nodes",
    "strategy",
    "precision",
    "callbacks",
    "limit_train_batches",
)


class FitEvaluator(Evaluator):
    """Trains each child on one device, by the class that trains the final network, and reports its validation metrics.

    Args:
        datamodule: training and validation data; it stays in memory from child to child.
        optimizer: SGD of the child's weights, whose schedule spans the child's epochs.
        clip: largest norm of the gradient; None turns clipping off.
        callbacks: of each child, made anew for it: `{"class_path": "EarlyStopping", "init_args": {...}}`, or a callback
            of this package.
        precision: of the children, whatever the outer trainer's is.
        store: keeps the weights of children. It is needed to go on from a trial's weights, as successive halving does;
            where they are gone, the child is trained from the start.
        inherit: with a store, what children start from besides: "own", only the weights of the trial they continue;
            "parent", also those of the trial they were mutated from; "all", of all earlier children.
        trainer: other arguments of the children's `Trainer`, such as `gradient_clip_val`, `accumulate_grad_batches`.
        execution: how children are run: speed and memory, the same function.

    Raises:
        ValueError: an argument is out of range, or set elsewhere.

    Example:
        >>> from lightning_nas.data import Digits
        >>> FitEvaluator(Digits(validation=0.2), Sgd(lr=0.05), precision="bf16-mixed").precision
        'bf16-mixed'
    """

    def __init__(
        self,
        datamodule: L.LightningDataModule,
        optimizer: Sgd = Sgd(),
        clip: float | None = 5.0,
        callbacks: Sequence[Mapping[str, Any] | Configurable] = (),
        precision: Any = "32-true",
        store: WeightStore | None = None,
        inherit: Inherit = "own",
        trainer: Mapping[str, Any] | None = None,
        execution: Execution = Execution(),
    ) -> None:
        self.datamodule, self.optimizer, self.clip = datamodule, optimizer, clip
        self.execution = execution
        self.callbacks, self.precision = tuple(callbacks), precision
        self.store, self.inherit, self.trainer = store, inherit, dict(trainer or {})
        if inherit not in get_args(Inherit):
            raise ValueError(f"FitEvaluator(inherit={inherit!r}): give one of {', '.join(get_args(Inherit))}.")
        if inherit != "own" and store is None:
            raise ValueError(
                f"FitEvaluator(inherit={inherit!r}) needs weights to inherit: give a WeightStore as `store`."
            )
        if clip is not None and clip <= 0:
            raise ValueError(f"FitEvaluator(clip={clip}): give a positive number, or None to turn clipping off.")
        for name in _MANAGED:
            if name in self.trainer:
                raise ValueError(
                    f"FitEvaluator(trainer={{{name!r}: ...}}): {name} is the evaluator's own. Epochs and share of the "
                    "data belong to the Fidelity, devices to the outer Trainer, callbacks and precision to arguments."
                )
        for callback in self.callbacks:
            callback_from(callback)

    def recorded(self) -> dict[str, Any]:
        """The arguments; a data module that is no `Configurable` by its class and hyper-parameters."""
        arguments = super().recorded()
        if not isinstance(self.datamodule, Configurable):
            arguments["datamodule"] = foreign_config(self.datamodule)
        return arguments

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:
        """Refuse a skeleton that the space cannot build on, or that the data does not fit.

        Raises:
            MisconfigurationException: building a child fails, or its classes or images are others.
        """
        check_data(skeleton, self.datamodule)
        genotype = space.sample(generator(0, "check"))
        try:
            with torch.device("meta"):
                space.build(genotype, skeleton)
        except ValueError as error:
            raise MisconfigurationException(f"No child can be built on {skeleton}: {error}") from error

    def start_round(self, first: int, count: int, folder: Any) -> None:
        """Make room for the weights of the round's children."""
        if self.store is not None:
            self.store.within(folder).make_room(first, count)

    def evaluate(self, job: Job) -> Evaluation:
        """Train the child and take its metrics, of each epoch and at the end."""
        fidelity, history = job.proposal.fidelity, MetricHistory()
        skeleton = job.skeleton.resized(fidelity.channels, fidelity.cells)
        inheritance = self._inheritance(job)
        continued = inheritance is not None and inheritance.continues
        epochs = job.proposal.epochs if continued else fidelity.epochs
        callbacks = [*map(callback_from, self.callbacks), *([inheritance] if inheritance else []), history]
        if fidelity.resolution is not None or fidelity.share < 1.0:
            resolution = None if fidelity.resolution is None else {0: fidelity.resolution}
            callbacks.append(ReducedFidelity(resolution, {0: fidelity.share}))
        with quiet(), use_seed(job.seed):
            child = NetworkTraining(
                job.space,
                job.proposal.genotype,
                skeleton,
                copy.deepcopy(job.task),
                self.optimizer,
                self.clip,
                epochs,
                sync_metrics=False,
                execution=self.execution,
            )
            self._fit(child, self._trainer(job, epochs, callbacks))
        return history.evaluation()

    def _inheritance(self, job: Job) -> WeightInheritance | None:
        if self.store is None:
            return None
        parent = job.proposal.parent if job.proposal.start_epoch or self.inherit != "own" else None
        return WeightInheritance(
            store=self.store.within(job.folder),
            trial=job.trial,
            before=job.first,
            parent=parent,
            others=self.inherit == "all",
        )

    def _trainer(self, job: Job, epochs: int, callbacks: list[Callback]) -> L.Trainer:
        device = job.device
        settings = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 1,
            "default_root_dir": job.folder,
            **self.trainer,
        }
        return L.Trainer(
            max_epochs=epochs,
            accelerator=device.type,
            devices=1 if device.index is None or device.type == "cpu" else [device.index],
            num_nodes=1,
            precision=self.precision,
            callbacks=callbacks,
            **settings,
        )

    def _fit(self, child: NetworkTraining, trainer: L.Trainer) -> None:
        try:
            with _interrupt():
                trainer.fit(child, datamodule=self.datamodule)
        finally:
            self.datamodule.trainer = None  # the child's memory is free then


@contextmanager
def _interrupt() -> Iterator[None]:
    """Ctrl-C in a child stops the search as well: a fit turns it into `sys.exit` and leaves SIGINT ignored."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, before)
            raise KeyboardInterrupt from stop
        raise
