"""`ArchitectureMonitor`: what it logs, and the warning when planted parameters let skip connections take over."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from helpers.small_fits import At, darts, events, fit, gdas, plant
from lightning_nas import EdgewiseSpace, SearchModule
from lightning_nas.callbacks import ArchitectureMonitor
from lightning_nas.spaces.base import SearchSpace


def test_counts_gap_and_heat_maps(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    search = darts(2)
    plan = At(1, lambda search: plant(search, "sep_conv_3x3", "normal"))
    logger = TensorBoardLogger(tmp_path, "log", 0)
    trainer = fit(search, trainer_kwargs, ArchitectureMonitor(), plan, logger=logger, max_epochs=2)
    found = events(tmp_path / "log" / "version_0")
    assert set(found.Tags()["images"]) == {"search/probabilities/normal", "search/probabilities/reduce"}
    assert len(found.Images("search/probabilities/normal")) == 2
    for group, space_group in search.space.groups.items():
        counts = {name: found.Scalars(f"search/count/{group}/{name}") for name in space_group.candidates}
        assert all(len(events) == 2 for events in counts.values())
        assert sum(events[-1].value for events in counts.values()) == 4
    assert found.Scalars("search/count/normal/sep_conv_3x3")[-1].value == 4
    metrics = trainer.callback_metrics
    gap = metrics["val/accuracy"] - metrics["val/accuracy_discrete"]
    assert found.Scalars("search/discretization_gap")[-1].value == pytest.approx(float(gap))
    assert len(found.Scalars("search/entropy/normal")) == 2, "the family's own, once an epoch"


def test_loggers_without_figures_get_the_scalars(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    fit(gdas(), trainer_kwargs, ArchitectureMonitor(), logger=CSVLogger(tmp_path, "log", 0))
    header = (tmp_path / "log" / "version_0" / "metrics.csv").read_text().splitlines()[0]
    assert "search/count/cell/none" in header
    assert "search/discretization_gap" in header


def test_no_figures_if_not_wanted(tmp_path: Path, trainer_kwargs: dict[str, Any]) -> None:
    fit(gdas(), trainer_kwargs, ArchitectureMonitor(figures=False), logger=TensorBoardLogger(tmp_path, "log", 0))
    assert events(tmp_path / "log" / "version_0").Tags()["images"] == []


def test_no_gap_without_validation(trainer_kwargs: dict[str, Any]) -> None:
    trainer = fit(gdas(), trainer_kwargs, ArchitectureMonitor(), limit_val_batches=0)
    assert "search/discretization_gap" not in trainer.callback_metrics
    assert "search/count/cell/none" in trainer.callback_metrics


def skips(count: int) -> Any:
    """Plants skip connections on the first `count` of the 6 edges, and convolutions on the others."""

    def at(search: Any) -> None:
        plant(search, "nor_conv_3x3")
        alpha = search.architecture["cell"]["alpha"].data
        alpha[:count] = 0.0
        alpha[:count, search.space.groups["cell"].candidates.index("skip_connect")] = 5.0

    return At(1, at)


def test_warns_once_a_cell_when_skips_take_over(trainer_kwargs: dict[str, Any]) -> None:
    expected = r"take over the 'normal' cell: 4 of its 4 edges are 'skip_connect' in epoch 0, .*skip_limit=0.5"
    monitor, plan = ArchitectureMonitor(), At(1, lambda search: plant(search, "skip_connect", "normal"))
    search = darts(2)
    plant(search, "sep_conv_3x3", "reduce")
    with pytest.warns(UserWarning, match=expected) as caught:
        fit(search, trainer_kwargs, monitor, plan, max_epochs=3)
    assert sum("take over" in str(warning.message) for warning in caught) == 1
    resumed = ArchitectureMonitor()
    resumed.load_state_dict(monitor.state_dict())
    search = darts(2)
    plant(search, "skip_connect", "normal")
    plant(search, "sep_conv_3x3", "reduce")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", "The .*dataloader|The number of training batches")
        fit(search, trainer_kwargs, resumed)


@pytest.mark.parametrize(
    ("count", "limit", "warns"), [(3, 0.5, False), (4, 0.5, True), (2, 0.25, True), (6, 1.0, False)]
)
def test_limit_is_a_share_of_the_edges(trainer_kwargs: dict[str, Any], count: int, limit: float, warns: bool) -> None:
    def search() -> None:
        fit(gdas(), trainer_kwargs, ArchitectureMonitor(skip_limit=limit), skips(count))

    if warns:
        with pytest.warns(UserWarning, match=f"take over the 'cell' cell: {count} of its 6 edges"):
            search()
    else:
        search()  # a warning would be an error


def test_none_watches_nothing(trainer_kwargs: dict[str, Any]) -> None:
    fit(gdas(), trainer_kwargs, ArchitectureMonitor(skip=None), skips(6))


def test_stops_the_search(trainer_kwargs: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match="take over"):
        trainer = fit(gdas(), trainer_kwargs, ArchitectureMonitor(stop=True), skips(6), max_epochs=5)
    assert trainer.current_epoch == 1
    trainer = fit(gdas(), trainer_kwargs, ArchitectureMonitor(stop=True), skips(0), max_epochs=2)
    assert trainer.current_epoch == 2


def test_refusals(trainer_kwargs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"ArchitectureMonitor\(skip_limit=1.5\): give a share of the edges"):
        ArchitectureMonitor(skip_limit=1.5)
    with pytest.raises(ValueError, match="name the skip connection to stop at"):
        ArchitectureMonitor(skip=None, stop=True)
    with pytest.raises(MisconfigurationException, match=r"skip='identity'\) is no candidate .* one of avg_pool_3x3"):
        fit(gdas(), trainer_kwargs, ArchitectureMonitor(skip="identity", stop=True))

    class Chain(SearchSpace):
        decisions = ()

        def build(self, genotype: Any, skeleton: Any) -> Any: ...

        def skeleton(self, **sizes: Any) -> Any: ...

    class ChainSearch(SearchModule):
        def derive(self) -> Any: ...

    model = ChainSearch(Chain(), gdas().skeleton, gdas().task)
    with pytest.raises(MisconfigurationException, match="cells of a SupernetSpace, but Chain is none: remove"):
        ArchitectureMonitor().setup(L.Trainer(**trainer_kwargs), model, "fit")
    assert not isinstance(Chain(), EdgewiseSpace)
