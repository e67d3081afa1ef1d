"""Parameters, multiply-accumulates and activation memory against closed forms, torch's own counters, and by hand."""

from __future__ import annotations

import csv
import gzip
import os
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from helpers.supernet_cases import FINAL_NETWORKS as CASES
from lightning_nas import CellSkeleton, Cost, Macs, Parameters, PeakActivationMemory, SearchSpace, Skeleton
from lightning_nas.config import instantiate
from lightning_nas.costs.counts import LiveMemory
from lightning_nas.spaces import (
    ChainSkeleton,
    ConvChainSpace,
    DartsSpace,
    EnasMacroSpace,
    MacroSkeleton,
    NasBench201Space,
    NasnetSpace,
    published,
)
from lightning_nas.testing.space import sampled
from reference import counts

pytestmark = pytest.mark.slow

NASBENCH201 = NasBench201Space()
DATASETS = {  # classes, image size, parameters and MACs of the rest, MACs of a 3x3 and of a 1x1 convolution
    "cifar10": (10, 32, 73_306, 7_783_050, 35_389_440, 3_932_160),
    "cifar100": (100, 32, 79_156, 7_788_900, 35_389_440, 3_932_160),
    "imagenet16_120": (120, 16, 80_456, 1_953_400, 8_847_360, 983_040),
}


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.long)])
@pytest.mark.parametrize("dataset", DATASETS)
def test_nasbench201_formulas(dataset: str, count: int) -> None:
    classes, size, weights, macs, macs_3x3, macs_1x1 = DATASETS[dataset]
    skeleton = NASBENCH201.skeleton(classes=classes)
    measures = Parameters(), Macs(size, biases=True)
    terms = [cost.terms(NASBENCH201, skeleton) for cost in measures]
    for number, genotype in enumerate(sampled(NASBENCH201, count)):
        options = [option for _, option in genotype]
        big, small = options.count("nor_conv_3x3"), options.count("nor_conv_1x1")
        expected = [weights + 243_040 * big + 28_000 * small, macs + macs_3x3 * big + macs_1x1 * small]
        assert [term.total(NASBENCH201.selection(genotype)) for term in terms] == expected
        if number < 3:
            assert [cost(NASBENCH201, genotype, skeleton) for cost in measures] == expected


@pytest.mark.skipif("NASBENCH201_TABLE" not in os.environ, reason="NASBENCH201_TABLE names no table (csv.gz)")
@pytest.mark.parametrize("dataset", DATASETS)
def test_nasbench201_table(dataset: str) -> None:
    with gzip.open(Path(os.environ["NASBENCH201_TABLE"]), "rt") as file:
        rows = random.Random(0).sample(list(csv.DictReader(file)), 500)
    classes, size, *_ = DATASETS[dataset]
    skeleton = NASBENCH201.skeleton(classes=classes)
    weights, macs = (cost.terms(NASBENCH201, skeleton) for cost in (Parameters(), Macs(size, biases=True)))
    for row in rows:
        selection = NASBENCH201.selection(NASBENCH201.parse(row["arch"]))
        assert weights.total(selection) == int(row[f"{dataset}_params"])
        assert macs.total(selection) / 1e6 == pytest.approx(float(row[f"{dataset}_mflops"]), abs=5e-6)


@pytest.mark.parametrize("name", ["DARTS_V1", "GDAS_F1", "NASNET_A"])
def test_parameters_are_those_of_the_authors(name: str) -> None:
    space, genotype = published(name)
    skeleton = CellSkeleton(cells=20, channels=36, auxiliary=True)
    found = tuple(Parameters(auxiliary)(space, genotype, skeleton) for auxiliary in (False, True))
    assert found == counts.AUTHORS_CHILDREN[name].cifar10


@pytest.mark.parametrize("case", [*CASES, "ConvChainSpace"])
def test_macs_are_half_of_what_torch_counts(case: str) -> None:
    space, skeleton = (ConvChainSpace(), ChainSkeleton(channels=8)) if case == "ConvChainSpace" else CASES[case]
    for genotype in sampled(space, 3):
        child = space.build(genotype, skeleton).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            child(torch.zeros(1, skeleton.in_channels, 33, 40))
        assert 2 * Macs((33, 40))(space, genotype, skeleton) == counter.get_total_flops()


class Products(nn.Module):
    """All that is counted, of (2, 4, 6, 6) images."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 3, 2, stride=2)
        self.grouped = nn.Conv2d(4, 8, (1, 3), groups=2)
        self.linear = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, 1)
        torch.baddbmm(rows, rows, rows)
        return self.up(x).sum() + self.grouped(x).sum() + self.linear(x).sum() + (rows @ rows.mT).sum()


def test_every_product_is_counted_where_it_is_computed() -> None:
    with torch.device("meta"):
        network = Products()
        images = torch.empty(2, 4, 6, 6)
    with FlopCounterMode(display=False) as counter:
        network(images)

    def tally(biases: bool) -> dict[str, float]:
        cost = Macs((6, 6), biases=biases)
        skeleton = CellSkeleton(in_channels=4)
        return dict(cost.tally(TwoImages(network), skeleton, None))

    plain = {
        "network.up.weight": 2 * 4 * 36 * 3 * 4,
        "network.grouped.weight": 2 * 8 * 24 * 2 * 3,
        "network.linear.weight": 2 * 4 * 6 * 6 * 5,
        "network.weight": 2 * 8 * 6 * 6 * 6,
    }
    assert tally(biases=False) == plain
    assert 2 * sum(plain.values()) == counter.get_total_flops()
    biases = {
        "network.up.bias": 2 * 3 * 144,
        "network.grouped.bias": 2 * 8 * 24,
        "network.linear.bias": 2 * 4 * 6 * 5,
        "network.bias": 8 * 36,
    }
    assert {name: count for name, count in tally(biases=True).items() if count} == plain | biases


class TwoImages(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(torch.cat([x, x]))


def test_expected_costs_are_means_over_networks_and_have_gradients() -> None:
    space, skeleton = CASES["NasnetSpace-one-cell"]
    terms = Parameters().terms(space, skeleton)
    assert terms.optional
    chances = {}
    for name, group in space.groups.items():
        sources = torch.tensor([float(edge.node) for edge in group.edges])  # each slot draws one of so many
        chances[name] = (torch.ones(group.shape) / sources[:, None] / group.shape[1]).requires_grad_()
    expected = terms.expected(chances)
    generator = torch.Generator().manual_seed(0)
    sizes = [terms.total(space.selection(space.sample(generator))) for _ in range(2000)]
    error = torch.tensor(sizes).std().item() / len(sizes) ** 0.5
    assert expected.item() == pytest.approx(sum(sizes) / len(sizes), abs=4 * error)
    expected.backward()  # type: ignore[no-untyped-call]
    assert chances["reduce"].grad is not None  # the only cell reduces
    assert chances["reduce"].grad.abs().sum() > 0


def test_loose_ends_and_shared_reductions_are_terms_of_their_own() -> None:
    for case, sign in (("NasnetSpace", 1), ("EnasMacroSpace", -1)):
        found = Parameters().terms(*CASES[case]).optional
        assert found
        assert all(term.cost * sign > 0 for term in found)
    assert not Parameters().terms(*CASES["DartsSpace"]).optional


# --- activation memory ----------------------------------------------------------------------------------------------


class Block(nn.Module):
    """Of (1, 2, 8, 8) images, 512 bytes: see the test for what lives when."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_1 = nn.Conv2d(2, 6, 1)
        self.conv_2 = nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_2(self.conv_1(x))
        return (x + y).view(-1)[:1]


def test_activation_memory_by_hand() -> None:
    with torch.device("meta"):
        block = Block()
        with LiveMemory() as memory, torch.no_grad():
            block(torch.empty(1, 2, 8, 8))
    # At its highest: the images, 512 bytes, conv_1's output, 1,536, and conv_2's, 512. The sum comes when conv_1's is
    # gone, and a view of it takes nothing.
    assert memory.peak == 512 + 1536 + 512


def test_weights_and_their_views_are_no_activations() -> None:
    weight = torch.empty(1000, 1000, device="meta")
    with LiveMemory() as memory:
        part = weight.t()[:10]
        part * 2.0
    assert memory.peak == 10 * 1000 * 4


def profiled_peak(network: nn.Module, shape: tuple[int, ...]) -> int:
    """The most bytes that PyTorch's allocator has out while the network runs, its images included."""
    with torch.no_grad():
        network(torch.zeros(shape))
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as found:
            network(torch.zeros(shape))
    events = [event for event in found.profiler.kineto_results.events() if event.name() == "[memory]"]  # type: ignore[union-attr]
    total = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        total += event.nbytes()
        peak = max(peak, total)
    return peak


WIDE: dict[str, tuple[SearchSpace, Skeleton]] = {  # of few channels, kernels make wider copies
    "DartsSpace": (DartsSpace(), CellSkeleton(cells=5, channels=16)),
    "NasBench201Space": (NASBENCH201, NASBENCH201.skeleton(cells_per_stage=1)),
    "NasnetSpace": (NasnetSpace(), CellSkeleton(cells=3, channels=16)),
    "EnasMacroSpace": (EnasMacroSpace(layers=6), MacroSkeleton(channels=16, merge="concatenate")),
}


@pytest.mark.parametrize("case", WIDE)
def test_activation_memory_is_what_the_allocator_gives_out(case: str) -> None:
    space, skeleton = WIDE[case]
    for genotype in sampled(space, 3):
        child = space.build(genotype, skeleton).eval()
        shape = (8, skeleton.in_channels, 32, 32)
        copy = 4 * torch.Size(shape).numel()  # of the images, in channels last: made on a CPU alone
        found = PeakActivationMemory(batch_size=8)(space, genotype, skeleton) * 1e6
        assert profiled_peak(child, shape) == pytest.approx(found + copy, rel=0.1)  # kernels take a little besides


def test_activation_memory_grows_with_the_batch() -> None:
    space, skeleton = CASES["DartsSpace"]
    (genotype,) = sampled(space, 1)
    one, four = (PeakActivationMemory(count)(space, genotype, skeleton) for count in (1, 4))
    assert four == pytest.approx(4 * one, rel=1e-3)
    assert PeakActivationMemory(1, 64)(space, genotype, skeleton) == pytest.approx(4 * one, rel=1e-2)


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cost", [Parameters(True), Macs((8, 16), biases=True), PeakActivationMemory(2, 16)])
def test_costs_come_back_from_their_config(cost: Cost) -> None:
    again = instantiate(cost.config())
    assert type(again) is type(cost)
    assert again.config() == cost.config()
    assert again.name == cost.name


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Macs(0), "Macs(image_size=0): give the height and width of the images, or one number for both."),
        (lambda: Macs([1, 2, 3]), "Macs(image_size=[1, 2, 3]): give the height and width"),
        (lambda: PeakActivationMemory(0), "PeakActivationMemory(batch_size=0): give an integer of at least 1."),
    ],
)
def test_bad_arguments_are_named(make: Any, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        make()


@pytest.mark.parametrize("cost", [Macs(7), PeakActivationMemory(image_size=7)])
def test_images_that_are_too_small_are_refused(cost: Cost) -> None:
    space = DartsSpace()
    skeleton: Skeleton = CellSkeleton(cells=3, stem="imagenet")
    text = f"{type(cost).__name__}(image_size=[7, 7]): the networks of DartsSpace take images of at least 32 pixels"
    for ask in (lambda: cost.check(space, skeleton), lambda: cost(space, *sampled(space, 1), skeleton)):
        with pytest.raises(ValueError, match=re.escape(text)):
            ask()


def test_counting_leaves_no_trace() -> None:
    """A cost is asked in the middle of a search: random numbers and the default device stay as they are."""
    space, skeleton = CASES["DartsSpace-imagenet"]
    (genotype,) = sampled(space, 1)
    before = torch.get_rng_state()
    for cost in (Parameters(), Macs(), PeakActivationMemory()):
        cost(space, genotype, skeleton)
    Macs().terms(space, skeleton)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.empty(1).device.type == "cpu"
