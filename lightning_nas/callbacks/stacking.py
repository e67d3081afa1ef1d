"""`StackCells`: from the end of a search to a config that trains the final network."""

from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from lightning_nas.callbacks.retrain import (
    can_drop_paths,
    check_sizes,
    config_text,
    fill_template,
    read_template,
    retrain_config,
    search_parts,
    template_skeleton,
)
from lightning_nas.callbacks.run import RunFile, as_search, sound_genotype
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.seeding import generator
from lightning_nas.search import SearchModule


class StackCells(Callback):
    """Writes, when the search ends, a ready config for `lightning-nas fit --config retrain.yaml`.

    The end may be early, as for `ExtractGenotype`. The config trains the genotype found, in a network of other sizes,
    with the task, the seed and the data of the search: the inner module's where a `Bilevel` splits it, the evaluator's
    where children are trained. What the network costs, by the search's budget, stands in its comments. A file that was
    there before the run, or was edited since, is kept as `retrain.yaml.1` (the next free number); so is that of an
    interrupted run when it goes on.

    Args:
        skeleton: sizes of the final network; None takes the template's.
        retrain: a fit config of `NetworkTraining` to fill in: what it says wins over the defaults and over `epochs` and
            `drop_path`; its model's space, genotype and skeleton are replaced by what is found and by `skeleton`.
        filename: a relative path lies in the trainer's log folder.
        epochs: how long to train.
        drop_path: probability that the drop path schedule leads to; 0 trains without.

    Raises:
        ValueError: an argument is out of range, or the template cannot be read.

    Example:
        >>> from lightning_nas import CellSkeleton
        >>> StackCells(CellSkeleton(cells=20, channels=36, auxiliary=True)).skeleton.cells
        20
    """

    def __init__(
        self,
        skeleton: Skeleton | None = None,
        retrain: str | None = None,
        filename: str = "retrain.yaml",
        epochs: int = 600,
        drop_path: float = 0.2,
    ) -> None:
        super().__init__()
        if Path(filename).suffix not in (".yaml", ".yml"):
            raise ValueError(f"StackCells(filename={str(filename)!r}): give a name that ends in .yaml.")
        if epochs < 1:
            raise ValueError(f"StackCells(epochs={epochs}): give at least 1.")
        if not 0.0 <= drop_path < 1.0:
            raise ValueError(f"StackCells(drop_path={drop_path}): give a number in [0, 1).")
        self.template = None if retrain is None else read_template(retrain)
        if skeleton is None and self.template is not None:
            skeleton = template_skeleton(self.template)
        if not isinstance(skeleton, Skeleton):
            raise ValueError(
                f"StackCells(skeleton={skeleton!r}): give a skeleton, such as CellSkeleton(cells=20, channels=36), "
                "here or in the template."
            )
        self.skeleton, self.epochs, self.drop_path = skeleton, epochs, drop_path
        self._file = RunFile(filename)
        self._training = False
        self._can_drop = False

    @property
    def path(self) -> Path:
        """The config's file; known once a fit has been set up."""
        return self._file.path

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse, before the search starts, a final network that could not be built or trained.

        Raises:
            MisconfigurationException: the skeleton does not fit the space or the data.
        """
        if stage != "fit":
            return
        search = as_search(pl_module, self)
        self._file.locate(trainer)
        if not (self.template and "data" in self.template):  # a template may bring other data
            check_sizes("StackCells", self.skeleton, search.skeleton)
        any_genotype = search.space.sample(generator(0, "stack"))
        try:
            self._can_drop = can_drop_paths(search.space, any_genotype, self.skeleton)
        except ValueError as error:
            raise MisconfigurationException(f"StackCells(skeleton={self.skeleton}): {error}") from error
        self._compare_limits(search)

    def _compare_limits(self, search: SearchModule) -> None:
        """Warn if the limits of the search are those of another network than the final one."""
        limited = search.costing.skeleton
        if search.costing.limits and limited != self.skeleton:
            rank_zero_warn(
                f"The limits of the search hold for {limited}, and StackCells builds its result with "
                f"{self.skeleton}, which may break them: give the search Budget(skeleton=...) with the skeleton of "
                "StackCells."
            )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._training = True
        self._file.begin(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stack(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        self._stack(trainer, pl_module)

    def _stack(self, trainer: Trainer, pl_module: LightningModule) -> None:
        training, self._training = self._training, False
        if not (training and trainer.is_global_zero):
            return
        search = as_search(pl_module, self)
        genotype = sound_genotype(search)
        if genotype is None:
            return
        parts = search_parts(search, trainer.datamodule)  # type: ignore[attr-defined]
        drop_path = self.drop_path if self._can_drop else 0.0
        config = retrain_config(parts, genotype, self.skeleton, self.epochs, drop_path)
        if self.template is not None:
            config = fill_template(self.template, config)
        costs = search.costing.under(self.skeleton).text(genotype)
        self._file.write(config_text(config, self.path, type(search).__name__, costs))
        if "data" not in config:
            rank_zero_warn(
                f"{self.path} has no `data`: the config of the search's data could not be told. Add it to the file, or "
                "derive the data module from lightning_nas.Configurable, or let it call save_hyperparameters()."
            )
