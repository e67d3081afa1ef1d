"""`ExtractGenotype`: what a search has found, as a file, a picture and in TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from typing_extensions import override

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.callbacks.run import RunFile, as_search, figure_writers, sound_genotype
from lightning_nas.reports.cells import draw_genotype, picture_bytes
from lightning_nas.search import MultiTrialSearch, SearchModule
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.spaces.text import genotype_text


class ExtractGenotype(Callback):
    """Writes the genotype, whenever it has changed, after each validation and each epoch and at the end of the search.

    The end may be early: a limit of time or steps, early stopping, an error, or Ctrl-C. A genotype from architecture
    parameters that are not finite is not written: the last good one stays. Checkpoints hold the genotype as plain data
    under `checkpoint["callbacks"][callback.state_key]["genotype"]`. Where children are trained one by one, an epoch may
    be the whole search: there it is written after each round that brings a better child, and not before the first.

    What the network costs, by the search's budget, stands in comments of a YAML file and beside the genotype in
    TensorBoard, and is said in the end.

    A file that was there before the run, or was edited since, is kept as `genotype.yaml.1` (the next free number). One
    that a `MultiTrialSearch` wrote before it was started again is its own.

    Args:
        filename: `.json` is written as JSON, `.yaml` and `.yml` as YAML. A relative path lies in the trainer's log
            folder.
        picture: draw the cells into a PNG of the same name and into TensorBoard, where the space has cells to draw.

    Raises:
        ValueError: another suffix.

    Example:
        >>> ExtractGenotype("genotype.json").state_key
        "ExtractGenotype{'filename': 'genotype.json', 'picture': True}"
    """

    def __init__(self, filename: str = "genotype.yaml", picture: bool = True) -> None:
        super().__init__()
        if Path(filename).suffix not in (".yaml", ".yml", ".json"):
            raise ValueError(f"ExtractGenotype(filename={str(filename)!r}): give a name that ends in .yaml or .json.")
        self.filename, self.picture = str(filename), picture
        self._genotype_file = RunFile(filename)
        self._picture_file = RunFile(Path(filename).with_suffix(".png"))
        self._genotype: Genotype | None = None
        self._training = False

    @property
    def state_key(self) -> str:
        return self._generate_state_key(filename=self.filename, picture=self.picture)

    @property
    def path(self) -> Path:
        """The genotype's file; known once a fit has been set up."""
        return self._genotype_file.path

    @property
    def picture_path(self) -> Path:
        """The picture's file; known once a fit has been set up."""
        return self._picture_file.path

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "fit":
            as_search(pl_module, self)
            self._genotype_file.locate(trainer)
            self._picture_file.locate(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # From here on: neither the sanity check nor `Trainer.validate` writes.
        self._training, self._genotype = True, None
        self._genotype_file.begin(trainer)
        self._picture_file.begin(trainer)
        if isinstance(pl_module, MultiTrialSearch) and trainer.is_global_zero:
            self._adopt(pl_module)

    def _adopt(self, search: MultiTrialSearch) -> None:
        """A search that is started again finds its trials, and the files of one of them."""
        written = self.path.read_text(errors="replace") if self.path.is_file() else ""
        genotypes = dict.fromkeys(trial.genotype for trial in search.runner.known.values() if written)
        found = next((genotype for genotype in genotypes if self._serialized(search, genotype) == written), None)
        if found is not None:
            self._genotype_file.adopt(written)
            if self.picture and isinstance(search.space, SupernetSpace):
                self._picture_file.adopt(picture_bytes(draw_genotype(search.space, found)))

    @override
    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After a round of children, whose best may be a new one; not while earlier ones are told once more."""
        if not isinstance(pl_module, MultiTrialSearch) or pl_module.best is None:
            return
        if pl_module.best.genotype != self._genotype and pl_module.sampler.told >= len(pl_module.runner.known):
            self._extract(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._extract(trainer, pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._extract(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._extract(trainer, pl_module)
        self._training = False
        search = as_search(pl_module, self)
        if self._genotype is not None and search.costing.costs:
            rank_zero_info(f"Found: {', '.join(search.costing.text(self._genotype))}.")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:  # noqa: ARG002
        self._extract(trainer, pl_module)
        self._training = False

    def _extract(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not (self._training and trainer.is_global_zero):
            return
        search = as_search(pl_module, self)
        genotype = sound_genotype(search)
        if genotype is None or (genotype == self._genotype and self.path.is_file()):
            return
        self._genotype = genotype
        self._genotype_file.write(self._serialized(search, genotype))
        for writer in figure_writers(trainer):
            text = "\n".join([genotype_text(search.space, genotype), *search.costing.text(genotype)])
            writer.add_text("genotype", f"```\n{text}\n```", trainer.global_step)
        if self.picture and isinstance(search.space, SupernetSpace):
            figure = draw_genotype(search.space, genotype)
            self._picture_file.write(picture_bytes(figure))
            for writer in figure_writers(trainer):
                writer.add_figure("genotype", figure, trainer.global_step, close=False)

    def _serialized(self, search: SearchModule, genotype: Genotype) -> str:
        """The content of the file; what it costs as comments, which JSON has none of."""
        data = genotype.to_dict()
        if self.path.suffix == ".json":
            return json.dumps(data, indent=2)
        comments = "".join(f"# {line}\n" for line in search.costing.text(genotype))
        return comments + yaml.safe_dump(data, sort_keys=False)

    def state_dict(self) -> dict[str, Any]:
        return {"written": self._genotype_file.digest, "drawn": self._picture_file.digest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._genotype_file.digest, self._picture_file.digest = state_dict["written"], state_dict["drawn"]

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        genotype = sound_genotype(as_search(pl_module, self))
        if genotype is not None:
            checkpoint["callbacks"][self.state_key]["genotype"] = genotype.to_dict()
