"""NAS-Bench-201: parameters and FLOPs of the benchmark, and the text format."""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import random
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lightning_nas import CellSkeleton, Genotype, StagedSkeleton
from lightning_nas.spaces import NasBench201Space
from lightning_nas.testing.space import enumerated
from reference import counts

SPACE = NasBench201Space()
# classes, image size, parameters without a convolution on an edge, MFLOPs: without, of each 3x3, of each 1x1
DATASETS = {
    "cifar10": (10, 32, 73_306, 7.78305, 35.38944, 3.93216),
    "cifar100": (100, 32, 79_156, 7.7889, 35.38944, 3.93216),
    "imagenet16_120": (120, 16, 80_456, 1.9534, 8.84736, 0.98304),
}


def cell(*names: str) -> str:
    return "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*names)


def cells(count: int) -> list[str]:
    """Random cells, and the two that have most and least."""
    source = random.Random(0)
    drawn = [cell(*(source.choice(SPACE.candidates) for _ in range(6))) for _ in range(count)]
    return [*drawn, cell(*["nor_conv_3x3"] * 6), cell(*["none"] * 6)]


def child(text: str, classes: int) -> nn.Module:
    """The benchmark's network on the meta device."""
    with torch.device("meta"):
        return SPACE.build(SPACE.parse(text), StagedSkeleton(channels=16, cells_per_stage=5, classes=classes)).eval()


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def mflops(network: nn.Module, size: int, classes: int) -> float:
    """Multiply-accumulates of convolutions and the linear layer, with the latter's biases, in millions."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.empty(1, 3, size, size, device="meta"))
    return (counter.get_total_flops() / 2 + classes) / 1e6


@pytest.mark.parametrize("dataset", DATASETS)
def test_parameters_and_mflops(dataset: str) -> None:
    classes, size, base, flops, flops_3x3, flops_1x1 = DATASETS[dataset]
    for text in cells(4):
        network = child(text, classes)
        convs = text.count("nor_conv_3x3"), text.count("nor_conv_1x1")
        assert parameters(network) == base + 243_040 * convs[0] + 28_000 * convs[1]
        names = [part.split("~")[0] for part in text.replace("+", "").split("|") if part]
        assert parameters(network) == counts.nasbench201_network(names, classes=classes)
        expected = flops + flops_3x3 * convs[0] + flops_1x1 * convs[1]
        assert round(mflops(network, size, classes), 5) == pytest.approx(expected, abs=1.1e-5)


@pytest.mark.skipif("NASBENCH201_TABLE" not in os.environ, reason="NASBENCH201_TABLE names no table (csv.gz)")
def test_benchmark_table() -> None:
    with gzip.open(Path(os.environ["NASBENCH201_TABLE"]), "rt") as file:
        rows = random.Random(0).sample(list(csv.DictReader(file)), 200)
    for row in rows:
        assert SPACE.format(SPACE.parse(row["arch"])) == row["arch"]
        for dataset, (classes, size, *_) in DATASETS.items():
            network = child(row["arch"], classes)
            assert parameters(network) == int(row[f"{dataset}_params"])
            assert mflops(network, size, classes) == pytest.approx(float(row[f"{dataset}_mflops"]), abs=1.1e-5)


def test_text_names_edges_by_source() -> None:
    text = cell("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "none")
    genotype = SPACE.parse(text)
    assert [genotype[f"cell.{key}"] for key in ("1_0", "2_0", "2_1", "3_0", "3_1", "3_2")] == [
        *("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "none")
    ]
    assert SPACE.format(genotype) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (cell("conv", *["none"] * 5), "cell.1_0='conv', which NasBench201Space does not offer"),
        ("|none~0|+|none~0|none~1|", "misses the decision 'cell.3_0'"),
        (cell(*["none"] * 6) + "+|none~0|none~1|none~2|none~3|", "decides 'cell.4_0'"),
        ("", "misses the decision 'cell.1_0'"),
    ],
)
def test_bad_text_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.parse(text)


def test_size_and_connections() -> None:
    assert SPACE.size == 5**6
    assert NasBench201Space(nodes=3).size == len(list(enumerated(NasBench201Space(nodes=3).decisions))) == 125
    genotype = SPACE.parse(cell(*["skip_connect"] * 6))
    assert [(edge.node, edge.source, name) for edge, name in SPACE.connections(genotype)["cell"]] == [
        (node, source, "skip_connect") for node in (1, 2, 3) for source in range(node)
    ]


def test_discretize_takes_the_strongest_candidate() -> None:
    table = torch.full((6, 5), 0.1)
    for row, column in enumerate((0, 1, 2, 3, 4, 0)):
        table[row, column] = 0.6
    names = [SPACE.candidates[column] for column in (0, 1, 2, 3, 4, 0)]
    assert SPACE.format(SPACE.discretize({"cell": table})) == cell(*names)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"NasBench201Space\(nodes=1\)"):
        NasBench201Space(nodes=1)
    with pytest.raises(ValueError, match=r"'conv_7x7' is unknown\. Known are none"):
        NasBench201Space(candidates=["conv_7x7"])
    with pytest.raises(ValueError, match="builds on a StagedSkeleton, not on a CellSkeleton"):
        SPACE.build(None, CellSkeleton())


def test_mutation_reaches_every_neighbour() -> None:
    genotype = SPACE.parse(cell(*["none"] * 6))
    found = {SPACE.mutate(genotype, torch.Generator().manual_seed(seed)) for seed in range(400)}
    choices = dict(genotype)
    expected = {
        Genotype(genotype.space, tuple({**choices, name: option}.items()))
        for name, option in itertools.product(choices, SPACE.candidates[1:])
    }
    assert found == expected
