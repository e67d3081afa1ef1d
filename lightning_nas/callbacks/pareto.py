"""`ParetoFront`: the networks of a search that no other beats in all objectives, as files, a picture and a curve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from typing_extensions import override

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.callbacks.front_files import FrontCosts, FrontFiles
from lightning_nas.callbacks.retrain import search_parts
from lightning_nas.callbacks.run import as_search, figure_writers, sound_genotype
from lightning_nas.costs import Cost
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.pareto.front import Front, members_of
from lightning_nas.pareto.record import FrontRecord
from lightning_nas.reports.cells import picture_bytes
from lightning_nas.reports.charts import draw_front
from lightning_nas.search import DifferentiableSearch, MultiTrialSearch, SearchModule, WeightSharingSearch
from lightning_nas.trials.objectives import Direction, Objectives, check_pymoo
from lightning_nas.trials.trial import Proposal, Trial


class ParetoFront(Callback):
    """Keeps the front of a search: `front.json`, `front.csv`, `front.png`, and the curve `search/hypervolume`.

    What is compared depends on the family. Of children that are trained one by one, all that are complete, at the
    highest fidelity among them. Of paths of a shared supernet, the candidates of the last derivation: weights have
    changed since earlier ones. Of a differentiable search, the genotype after each validation, a later one in place
    of an earlier equal one; its accuracy is that with the weights of that epoch.

    Files are written whenever the front changes, and at the end. `lightning-nas front` reads `front.json` and makes the
    `retrain.yaml` of one member. A file that was there before the run, or was edited since, is kept as `front.json.1`
    (the next free number). Where TensorBoard logs, the picture is there too.

    Args:
        objectives: "max" or "min" by the name of a metric, at least two; None: those of the search's sampler, or else
            the validation accuracy (in a differentiable search `val/accuracy_discrete`) and all known costs.
        costs: what is computed of networks besides the costs of the search's budget.
        skeleton: of the final network, which costs are meant for; None: the budget's, or else that of the search.
        reference: a value for each objective: the hypervolume is that of what lies between it and the front. None: 0
            for what is to be large, and twice the value of the first network for what is to be small.
        filename: a relative path lies in the trainer's log folder; the others have its name and their own suffix.
        picture: draw the front.

    Raises:
        ValueError: fewer than two objectives, a reference of others, or a filename that does not end in .json.

    Example:
        >>> ParetoFront({"val/accuracy": "max", "params": "min"}, reference={"val/accuracy": 0.1, "params": 1e6}).costs
        ()
    """

    def __init__(
        self,
        objectives: Mapping[str, Direction] | None = None,
        costs: Sequence[Cost] = (),
        skeleton: Skeleton | None = None,
        reference: Mapping[str, float] | None = None,
        filename: str = "front.json",
        picture: bool = True,
    ) -> None:
        super().__init__()
        self._given = None if objectives is None else Objectives(objectives, "ParetoFront")
        self.costs, self.skeleton, self.picture = tuple(costs), skeleton, picture
        self.reference = None if reference is None else dict(reference)
        if self._given is not None:
            self._check_reference(self._given)
        self.filename = str(filename)
        self._files = FrontFiles(filename)
        self._record: FrontRecord | None = None
        self._told = 0  # trials of children
        self._passed: dict[Genotype, Trial] = {}  # of a differentiable search
        self._derived: Sequence[Trial] = ()  # of a supernet that is shared

    @property
    def state_key(self) -> str:
        return self._generate_state_key(filename=self.filename)

    @property
    def path(self) -> Path:
        """The JSON file; known once a fit has been set up."""
        return self._files.path

    @property
    def record(self) -> FrontRecord:
        """The front at present, and the curve of its hypervolume; there once a fit has been set up."""
        if self._record is None:
            raise RuntimeError("ParetoFront has no front before Trainer.fit.")
        return self._record

    def _check_reference(self, objectives: Objectives) -> None:
        if self.reference is not None and set(self.reference) != set(objectives.directions):
            raise ValueError(
                f"ParetoFront(reference={self.reference}): give a value for each of {', '.join(objectives.directions)}."
            )

    # --- before the search ------------------------------------------------------------------------------------------

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Find out what is compared.

        Raises:
            MisconfigurationException: the model is no search, there is one objective only, a cost does not know the
                space, or pymoo is needed and not installed.
        """
        if stage != "fit":
            return
        search = as_search(pl_module, self)
        self._files.locate(trainer)
        try:
            self._costs = FrontCosts(search, self.costs, self.skeleton)
            objectives = self._given or self._usual(search, self._costs.names)
            self._check_reference(objectives)
        except ValueError as error:
            raise MisconfigurationException(str(error)) from error
        if len(objectives.directions) > 2:
            check_pymoo("The hypervolume of more than two objectives")
        self._record = FrontRecord(objectives, self.reference)
        self._told, self._passed, self._derived = 0, {}, ()

    @staticmethod
    def _usual(search: SearchModule, costs: Sequence[str]) -> Objectives:
        if isinstance(search, MultiTrialSearch) and search.sampler.objectives is not None:
            return Objectives(search.sampler.objectives.directions, "ParetoFront")
        if not costs:
            raise ValueError(
                f"ParetoFront has nothing to hold accuracy against: give {type(search).__name__} a budget, or "
                "ParetoFront costs or objectives, such as costs=[Parameters()]."
            )
        suffix = "_discrete" if isinstance(search, DifferentiableSearch) else ""
        small: dict[str, Direction] = dict.fromkeys(costs, "min")
        return Objectives({f"val/{search.task.metric_name}{suffix}": "max", **small}, "ParetoFront")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._files.begin(trainer)
        if isinstance(pl_module, MultiTrialSearch) and trainer.is_global_zero:
            known = pl_module.runner.known  # a search that is started again finds its trials, and the files of some
            self._files.adopt({number: trial.genotype for number, trial in known.items()})

    # --- while it runs ----------------------------------------------------------------------------------------------

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a round of children; files are not written while earlier ones are told once more."""
        if not isinstance(pl_module, MultiTrialSearch) or pl_module.sampler.told <= self._told:
            return
        known, told = pl_module.runner.known, pl_module.sampler.told
        new = [known[number] for number in range(self._told, told) if number in known]
        self._told = told
        for trial in self._costs.priced(trainer, new):
            self.record.add(trial, trial.id)
            self._log(trainer, trial.id)
        if told >= len(known):
            self._write(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """After a derivation, or with the genotype of a differentiable search."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        if isinstance(pl_module, WeightSharingSearch) and pl_module.candidates is not self._derived:
            self._derived = pl_module.candidates
            self.record.replace(self._costs.priced(trainer, self._derived), trainer.current_epoch)
        elif isinstance(pl_module, DifferentiableSearch):
            genotype = sound_genotype(pl_module)
            if genotype is None:
                return
            self._passed.pop(genotype, None)
            self._passed[genotype] = self._costs.priced(trainer, [_validated(trainer, pl_module, genotype)])[0]
            self.record.replace(self._passed.values(), trainer.current_epoch)
        else:
            return
        self._log(trainer, trainer.global_step)
        self._write(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._finish(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        self._finish(trainer, pl_module)

    def _finish(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The last picture shows all that was compared, also what came after the last change."""
        if self._record is not None:
            self._record.changed = True
            self._write(trainer, as_search(pl_module, self))

    def _log(self, trainer: Trainer, step: int) -> None:
        if self.record.hypervolume is not None:
            for logger in trainer.loggers:
                logger.log_metrics({"search/hypervolume": self.record.hypervolume}, step=step)

    def _write(self, trainer: Trainer, search: SearchModule) -> None:
        if not (trainer.is_global_zero and self.record.members) or not (self.record.changed or not self.path.is_file()):
            return
        self.record.changed = False
        front, picture = self._contents(trainer, search), b""
        if self.picture:
            members = [self.record.values(trial) for trial in self.record.members]
            figure = draw_front(front.objectives, members, self.record.seen)
            picture = picture_bytes(figure)
            for writer in figure_writers(trainer):
                writer.add_figure("search/front", figure, trainer.global_step, close=False)
        self._files.write(front, search.space, picture)

    def _contents(self, trainer: Trainer, search: SearchModule) -> Front:
        parts = search_parts(search, trainer.datamodule)  # type: ignore[attr-defined]
        return Front(
            type(search).__name__,
            self.record.objectives.directions,
            members_of(self.record.members),
            self.record.reference or {},
            tuple(self.record.curve),
            {**parts, "skeleton": self._costs.costing.skeleton.config()},
        )

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        passed = [trial.to_dict() for trial in self._passed.values()]
        return {"record": self.record.to_dict(), "told": self._told, "passed": passed, "files": self._files.digests()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._files.restore(state_dict["files"])
        self.record.restore(state_dict["record"])
        self._told = state_dict["told"]
        self._passed = {trial.genotype: trial for trial in map(Trial.from_dict, state_dict["passed"])}


def _validated(trainer: Trainer, search: DifferentiableSearch, genotype: Genotype) -> Trial:
    """The genotype of a differentiable search with what its validation has said."""
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
    reward = metrics.get(f"val/{search.task.metric_name}_discrete")
    return Trial(trainer.current_epoch, Proposal(genotype), search.seed, "complete", reward, 0.0, metrics)
