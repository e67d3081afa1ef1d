"""Costs and limits in searches of a supernet: expected costs, targets, and results within the limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from helpers.budgets import Counted, everything
from helpers.supernet_cases import SEARCH_CASES as CASES
from lightning_nas import (
    Adam,
    Budget,
    CellSkeleton,
    DartsSearch,
    Derivation,
    EnasSearch,
    ExpectedCost,
    GdasSearch,
    LogitsController,
    Macs,
    NothingFitsError,
    Parameters,
    RandomSharingSearch,
    SearchModule,
    SinglePathSearch,
    WeightedProduct,
    WeightSharingSearch,
)
from lightning_nas.callbacks import ExtractGenotype, StackCells
from lightning_nas.costs import Expectation
from lightning_nas.costs.budget import Costing
from lightning_nas.data import Bilevel, Digits, Phased
from lightning_nas.spaces import DartsSpace
from lightning_nas.testing import BoringData, BoringSkeleton, BoringSpace

pytestmark = pytest.mark.slow

SPACE, SKELETON = BoringSpace(), BoringSkeleton(in_channels=1)
FINAL = BoringSkeleton(channels=8, in_channels=1)
PLAIN = Costing(Budget(skeleton=FINAL), SPACE, SKELETON)
SIZES = sorted({PLAIN.figure("params", genotype) for genotype in everything(SPACE)})  # of 0 to 3 convolutions
BUDGET = Budget(skeleton=FINAL, max_params=SIZES[1])
FAST = Adam(lr=0.05, betas=(0.5, 0.999), weight_decay=0.0)


def bilevel() -> Bilevel:
    return Bilevel(Digits(batch_size=64), 0.5)


def phased(sampler_steps: int = 0) -> Phased:
    return Phased(Digits(batch_size=64, validation=0.1), 0.5, sampler_steps=sampler_steps, weight_steps=4)


def fit(search: SearchModule, data: Any, trainer_kwargs: dict[str, Any], **more: Any) -> L.Trainer:
    L.seed_everything(2, verbose=False)
    trainer = L.Trainer(**{**trainer_kwargs, "max_epochs": 2, **more})
    trainer.fit(search, datamodule=data)
    return trainer


# --- expected cost --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_the_expected_cost_of_a_path_is_that_of_its_network(case: str) -> None:
    space, skeleton = CASES[case]
    costing = Costing(Budget(skeleton=skeleton), space, skeleton)
    expectation = Expectation(space, costing.terms["params"])
    genotype = space.sample(torch.Generator().manual_seed(4))
    path = {name: weights.values for name, weights in space.path(genotype).items()}
    assert float(expectation(path)) == pytest.approx(costing.figure("params", genotype))


def test_the_expected_cost_is_the_mean_of_sampled_networks() -> None:
    """Each edge of its own, as the Gumbel samples of GDAS are drawn."""
    space, skeleton = CASES["NasBench201Space"]
    costing = Costing(Budget(skeleton=skeleton), space, skeleton)
    probabilities = {"cell": torch.randn(6, 5, generator=torch.Generator().manual_seed(0)).softmax(-1)}
    source = torch.Generator().manual_seed(1)
    drawn = torch.multinomial(probabilities["cell"], 4000, replacement=True, generator=source)
    totals = [costing.terms["params"].total({"cell": tuple(row)}) for row in drawn.T.tolist()]
    mean = torch.tensor(totals).mean()
    error = torch.tensor(totals).std() / 4000**0.5
    assert abs(float(Expectation(space, costing.terms["params"])(probabilities)) - float(mean)) < 5 * float(error)


@pytest.mark.parametrize("straight_through", [True, False])
def test_the_term_of_the_loss(straight_through: bool) -> None:
    cost = ExpectedCost(Parameters(), target=100.0, weight=2.0, straight_through=straight_through)
    most = ExpectedCost(Parameters(), 100.0, 2.0, "at_most", straight_through)
    for share, extracted in ((1.5, 1.2), (0.6, 0.9)):
        expected = torch.tensor(share, requires_grad=True)
        compared = extracted if straight_through else None
        value = compared or share
        penalty = cost.penalty(expected, compared)
        assert float(penalty.detach()) == pytest.approx(2 * (value - 1) ** 2)
        (slope,) = torch.autograd.grad(penalty, expected)
        assert float(slope) == pytest.approx(4 * (value - 1))
        expected = torch.tensor(share, requires_grad=True)
        (slope,) = torch.autograd.grad(most.penalty(expected, compared), expected)
        assert float(slope) == pytest.approx(max(0.0, 4 * (value - 1)))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target": 0.0}, r"ExpectedCost\(target=0\.0\): give a positive number"),
        ({"target": 1.0, "weight": -1.0}, r"ExpectedCost\(weight=-1\.0\): give a positive number"),
        ({"target": 1.0, "mode": "least"}, r"ExpectedCost\(mode='least'\): give one of towards, at_most"),
        ({"target": 1.0, "cost": Counted()}, r"ExpectedCost\(cost=Counted\): only a cost that is a sum over the cand"),
    ],
)
def test_bad_expected_costs(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExpectedCost(**{"cost": Parameters(), **arguments})


@pytest.mark.parametrize("method", [DartsSearch, GdasSearch])
@pytest.mark.parametrize("target", [0, 3])
def test_the_result_moves_to_the_target(method: Any, target: int, trainer_kwargs: dict[str, Any]) -> None:
    """To the smallest and to the largest network of the space, with a weight that outdoes the accuracy."""
    expected = ExpectedCost(Parameters(), SIZES[target], weight=100.0)
    L.seed_everything(1, verbose=False)
    budget = Budget(skeleton=FINAL)
    search = method(SPACE, SKELETON, architecture_optimizer=FAST, budget=budget, expected_cost=expected)
    before = float(search.cost_loss.expectation(search.probabilities()))
    trainer = fit(search, bilevel(), trainer_kwargs)
    assert PLAIN.figure("params", search.derive()) == SIZES[target]
    logged = trainer.callback_metrics
    after = float(search.cost_loss.expectation(search.probabilities()))
    assert abs(after - SIZES[target]) < abs(before - SIZES[target])
    assert float(logged["search/cost"]) == pytest.approx(after, rel=1e-5)
    assert float(logged["search/params"]) == SIZES[target]
    assert float(logged["search/macs"]) > 0


@pytest.mark.parametrize("order", [1, 2])
def test_both_orders_take_the_expected_cost(order: Any, trainer_kwargs: dict[str, Any]) -> None:
    moved = []
    for expected in (None, ExpectedCost(Parameters(), SIZES[0], weight=100.0)):
        L.seed_everything(1, verbose=False)
        search = DartsSearch(SPACE, BoringSkeleton(), order=order, architecture_optimizer=FAST, expected_cost=expected)
        fit(search, BoringData(), trainer_kwargs)
        moved.append(search.probabilities()["cell"][:, -1].sum())
    assert moved[1] < moved[0]  # fewer convolutions


@pytest.mark.parametrize("target", [SIZES[0] - 1, SIZES[-1] + 1])
def test_a_target_out_of_reach(target: float, trainer_kwargs: dict[str, Any]) -> None:
    search = DartsSearch(
        SPACE, SKELETON, budget=Budget(skeleton=FINAL), expected_cost=ExpectedCost(Parameters(), target)
    )
    message = rf"ExpectedCost\(target={target:,.0f}\): networks of BoringSpace have params from {SIZES[0]:,.0f} to "
    with pytest.raises(MisconfigurationException, match=message):
        fit(search, bilevel(), trainer_kwargs)


def test_two_costs_of_one_name(trainer_kwargs: dict[str, Any]) -> None:
    expected = ExpectedCost(Macs(8), 5e4)
    search = DartsSearch(SPACE, SKELETON, budget=Budget(), expected_cost=expected)  # whose images have 32 pixels
    message = r"The budget's cost 'macs' differs from that of ExpectedCost\(cost=Macs\(\.\.\.\)\): give both the same"
    with pytest.raises(MisconfigurationException, match=message):
        fit(search, bilevel(), trainer_kwargs)


# --- hard limits ----------------------------------------------------------------------------------------------------


def set_alphas(search: Any, column: int) -> None:
    """One candidate on all edges is by far the most probable."""
    with torch.no_grad():
        for group in search.architecture_parameters.values():
            group["alpha"].zero_()
            group["alpha"][:, column] = torch.arange(1.0, len(group["alpha"]) + 1)


def test_the_result_keeps_the_limits(trainer_kwargs: dict[str, Any], tmp_path: Path) -> None:
    L.seed_everything(1, verbose=False)
    search = DartsSearch(SPACE, SKELETON, budget=BUDGET)
    set_alphas(search, 2)
    assert search.derive().as_mapping() == {  # the surest edge keeps its convolution
        "cell.1_0": "avg_pool_3x3",
        "cell.2_0": "avg_pool_3x3",
        "cell.2_1": "nor_conv_3x3",
    }
    callbacks = [ExtractGenotype(picture=False), StackCells(FINAL, epochs=2)]
    trainer = fit(search, bilevel(), trainer_kwargs, callbacks=callbacks, limit_train_batches=2)
    found = search.derive()
    assert search.costing.fits(found)
    assert not search.costing.fits(SPACE.discretize(search.probabilities()))
    assert callbacks[0]._genotype == found
    text = callbacks[0].path.read_text()
    assert text.startswith(f"# params: {SIZES[1]:,.0f} (at most {SIZES[1]:,.0f})\n")
    retrain = callbacks[1].path.read_text()
    assert f"# The network that DartsSearch found, params: {SIZES[1]:,.0f} (at most {SIZES[1]:,.0f}), macs: " in retrain
    assert yaml.safe_load(retrain)["model"]["init_args"]["genotype"] == found.to_dict()
    assert float(trainer.callback_metrics["search/params"]) == SIZES[1]


def test_limits_of_another_network_than_the_final_one(trainer_kwargs: dict[str, Any]) -> None:
    search = DartsSearch(SPACE, SKELETON, budget=Budget(max_params=1000))
    message = r"The limits of the search hold for BoringSkeleton\(channels=4.*StackCells builds .* give the search B"
    with pytest.warns(UserWarning, match=message):
        fit(search, bilevel(), trainer_kwargs, callbacks=[StackCells(FINAL, epochs=2)], limit_train_batches=1)


def test_limits_that_nothing_keeps(trainer_kwargs: dict[str, Any]) -> None:
    least = SIZES[0]
    budget = Budget(skeleton=FINAL, max_params=least - 9)
    message = (
        rf"Budget\(max_params={least - 9:,.0f}\): the smallest network of BoringSpace has params {least:,.0f} .* 9 "
    )
    for search, data in (
        (DartsSearch(SPACE, SKELETON, budget=budget), bilevel()),
        (RandomSharingSearch(SPACE, SKELETON, budget=budget), phased()),
    ):
        with pytest.raises(MisconfigurationException, match=message):
            fit(search, data, trainer_kwargs)


def test_gradients_need_a_sum(trainer_kwargs: dict[str, Any]) -> None:
    search = GdasSearch(SPACE, SKELETON, budget=Budget([Counted()], max_latency_ms=2.0))
    message = r"Budget\(max_latency_ms=2\): GdasSearch keeps limits on costs that are sums over the candidates, and"
    with pytest.raises(MisconfigurationException, match=message):
        fit(search, bilevel(), trainer_kwargs)


# --- shared weights -------------------------------------------------------------------------------------------------

FEW = Derivation(6, round_size=3)
SHARING: dict[str, tuple[Callable[[Budget], WeightSharingSearch], int]] = {
    "enas": (lambda budget: EnasSearch(SPACE, SKELETON, FEW, hidden=8, round_size=3, budget=budget), 6),
    "random": (lambda budget: RandomSharingSearch(SPACE, SKELETON, FEW, budget=budget), 0),
    "single path": (
        lambda budget: SinglePathSearch(
            SPACE, SKELETON, population=4, sample=2, candidates=20, batches=1, recalibrate=1, budget=budget
        ),
        0,
    ),
}


@pytest.mark.parametrize("case", SHARING)
@pytest.mark.parametrize("limit", ["params", "no sum"])
def test_candidates_keep_the_limits(case: str, limit: str, trainer_kwargs: dict[str, Any]) -> None:
    budget = BUDGET if limit == "params" else Budget([Counted()], max_latency_ms=1.0)
    make, sampler_steps = SHARING[case]
    L.seed_everything(1, verbose=False)
    search = make(budget)
    assert search.costing.fits(search.derive())
    trained: list[Any] = []
    path = search.space.path
    search.space = BoringSpace()
    search.space.path = lambda genotype: trained.append(genotype) or path(genotype)  # type: ignore[method-assign]
    trainer = fit(search, phased(sampler_steps), trainer_kwargs)
    assert len(search.candidates) == search.derivation.candidates
    assert all(search.costing.fits(candidate.genotype) for candidate in search.candidates)
    assert all(search.costing.fits(genotype) for genotype in trained)
    name = next(iter(budget.limits))
    assert all(candidate.metrics[name] <= budget.limits[name] for candidate in search.candidates)
    assert search.costing.fits(search.derive())
    assert float(trainer.callback_metrics[f"search/{name}"]) == search.costing.figure(name, search.derive())
    folder = Path(trainer.default_root_dir) / "candidates"
    assert name in next(folder.glob("*.csv")).read_text().splitlines()[0]


def test_no_path_keeps_the_limits(trainer_kwargs: dict[str, Any]) -> None:
    budget = Budget([Counted()], max_latency_ms=0.5)
    space = BoringSpace()
    decisions = tuple(d.__class__(d.name, ("nor_conv_3x3",), d.condition) for d in space.decisions)
    space.__dict__["decisions"] = decisions  # nothing but convolutions
    search = RandomSharingSearch(space, SKELETON, FEW, budget=budget)
    with pytest.raises(NothingFitsError, match=r"of the nearest one, latency_ms 3 is 2\.5 \(500\.0%\) more than"):
        fit(search, phased(), trainer_kwargs)
    assert not search.candidates


def test_the_controller_learns_from_costs(trainer_kwargs: dict[str, Any]) -> None:
    """Whatever accuracy says: a network with a convolution has a third of the reward of one without."""
    L.seed_everything(1, verbose=False)
    reward = WeightedProduct("params", SIZES[0], alpha=-1.0, beta=-1.0)
    controller = LogitsController(SPACE, optimizer=Adam(0.2, (0.0, 0.999), 0.0))
    search = WeightSharingSearch(controller, SKELETON, FEW, reward, round_size=5, budget=Budget(skeleton=FINAL))
    fit(search, phased(sampler_steps=100), trainer_kwargs, max_epochs=4)
    convolutions = [float(table.detach().softmax(-1)[2]) for table in controller.tables]
    assert sum(convolutions) / 3 < 0.2


def test_a_reward_without_its_cost(trainer_kwargs: dict[str, Any]) -> None:
    search = EnasSearch(SPACE, SKELETON, FEW, WeightedProduct("latency_ms", 1.0), round_size=3, budget=Budget())
    message = r"WeightedProduct needs the cost 'latency_ms', and the search computes params, macs: give the search b"
    with pytest.raises(MisconfigurationException, match=message):
        fit(search, phased(6), trainer_kwargs)


def test_darts_cells_within_limits_are_derived_quickly() -> None:
    """At each validation and each epoch: it must not be felt."""
    import time

    space, final = DartsSpace(), CellSkeleton(cells=20, channels=36)
    search = DartsSearch(space, CellSkeleton(cells=2, channels=4), budget=Budget([], final, max_params=2.5e6))
    set_alphas(search, 5)
    search.derive()
    begin = time.perf_counter()
    found = search.derive()
    assert time.perf_counter() - begin < 2.0
    assert search.costing.fits(found)
