"""`ArchitectureMonitor`: how the architecture develops, and a warning when skip connections take over."""

from __future__ import annotations

from collections import Counter
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_info, rank_zero_warn

from lightning_nas.callbacks.run import as_search, figure_writers, sound_genotype
from lightning_nas.reports.charts import draw_probabilities
from lightning_nas.search import DifferentiableSearch, SearchModule
from lightning_nas.spaces.base import SupernetSpace


class ArchitectureMonitor(Callback):
    """Logs each epoch what the search would extract, and warns once a cell when skip connections take it over.

    Logged: `search/count/<group>/<operation>`, the edges of the extracted cell that carry an operation;
    `search/discretization_gap`, the accuracy of the relaxed supernet less that of the extracted architecture; and for
    loggers that take figures `search/probabilities/<group>`, a heat map. (The search itself logs the entropies.)

    Differentiable searches tend to fill cells with skip connections, whose networks are poor. P-DARTS (Chen et al.,
    ICCV 2019) keeps at most 2 on the 8 edges of a normal cell, DARTS+ (Liang et al., 2019) stops at 2; for P-DARTS's
    rule give `skip_limit=0.25`. As a default it would be too strict: 9 % of the normal cells drawn at random break it,
    and so do published ones (DARTS_V1 has 3). Of random cells 0.2 % have skip connections on more than half the edges.

    Args:
        skip: name of the skip connection among the candidates; None watches nothing.
        skip_limit: largest share of a cell's edges, in [0, 1], that may be skip connections without a warning.
        figures: draw heat maps.
        stop: end the search, on all ranks, in the epoch in which the limit is passed.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        skip: str | None = "skip_connect",
        skip_limit: float = 0.5,
        figures: bool = True,
        stop: bool = False,
    ) -> None:
        super().__init__()
        if not 0.0 <= skip_limit <= 1.0:
            raise ValueError(f"ArchitectureMonitor(skip_limit={skip_limit}): give a share of the edges, in [0, 1].")
        if stop and skip is None:
            raise ValueError("ArchitectureMonitor(stop=True, skip=None): name the skip connection to stop at.")
        self.skip, self.skip_limit, self.figures, self.stop = skip, skip_limit, figures, stop
        self._warned: set[str] = set()
        self._gap: float | None = None

    @property
    def state_key(self) -> str:
        return self._generate_state_key(skip=self.skip, skip_limit=self.skip_limit)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a module that has no cells to watch.

        Raises:
            MisconfigurationException: no search in a supernet space, or nothing to stop at.
        """
        if stage != "fit":
            return
        self._gap = None
        groups = self._space(as_search(pl_module, self)).groups.values()
        if self.skip is not None and not any(self.skip in group.candidates for group in groups):
            known = ", ".join(sorted({name for group in groups for name in group.candidates}))
            message = (
                f"ArchitectureMonitor(skip={self.skip!r}) is no candidate of the space; give None or one of {known}."
            )
            if self.stop:
                raise MisconfigurationException(message)
            rank_zero_info(message)

    def _space(self, search: SearchModule) -> SupernetSpace:
        if not isinstance(search.space, SupernetSpace):
            raise MisconfigurationException(
                f"ArchitectureMonitor watches the cells of a SupernetSpace, but {type(search.space).__name__} is none: "
                "remove the callback."
            )
        return search.space

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the gap until it can be logged: the metrics are computed now, too late for this hook to log."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        name = f"val/{as_search(pl_module, self).task.metric_name}"
        relaxed, discrete = (trainer.callback_metrics.get(key) for key in (name, f"{name}_discrete"))
        self._gap = None if relaxed is None or discrete is None else float(relaxed - discrete)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        search = as_search(pl_module, self)
        if self._gap is not None:
            search.log("search/discretization_gap", self._gap, sync_dist=True)
            self._gap = None
        over = self._count(trainer, search)
        if self.stop:
            agreed = trainer.strategy.reduce_boolean_decision(over, all=False)
            trainer.should_stop = trainer.should_stop or agreed
        if self.figures and trainer.is_global_zero and isinstance(search, DifferentiableSearch):
            self._draw(trainer, search)

    def _count(self, trainer: Trainer, search: SearchModule) -> bool:
        """Log the counts; whether skip connections have taken over some cell."""
        genotype, over = sound_genotype(search), False
        if genotype is None:
            return False
        space = self._space(search)
        for group, edges in space.connections(genotype).items():
            counts = Counter(operation for _, operation in edges)
            for operation in space.groups[group].candidates:
                search.log(f"search/count/{group}/{operation}", float(counts[operation]), sync_dist=True)
            if self.skip is not None and counts[self.skip] > self.skip_limit * len(edges):
                over = True
                self._warn(group, counts[self.skip], len(edges), trainer.current_epoch)
        return over

    def _warn(self, group: str, skips: int, edges: int, epoch: int) -> None:
        if group in self._warned:
            return
        self._warned.add(group)
        rank_zero_warn(
            f"Skip connections take over the {group!r} cell: {skips} of its {edges} edges are {self.skip!r} in epoch "
            f"{epoch}, more than skip_limit={self.skip_limit} allows. Such cells make poor networks: take the genotype "
            "of an earlier checkpoint, search fewer epochs, or set ArchitectureMonitor(stop=True)."
        )

    def _draw(self, trainer: Trainer, search: DifferentiableSearch) -> None:
        writers = list(figure_writers(trainer))
        if not writers:
            return
        for name, probabilities in search.probabilities().items():
            figure = draw_probabilities(search.space.groups[name], probabilities)
            for writer in writers:
                writer.add_figure(f"search/probabilities/{name}", figure, trainer.global_step, close=False)

    def state_dict(self) -> dict[str, Any]:
        return {"warned": sorted(self._warned)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._warned = set(state_dict["warned"])
