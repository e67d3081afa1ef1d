"""The DARTS space: decisions, text, the authors' extraction, and odd sizes."""

from __future__ import annotations

import pytest
import torch

from lightning_nas import CellSkeleton, StagedSkeleton
from lightning_nas.spaces import DartsSpace, published
from lightning_nas.testing.space import enumerated

SPACE = DartsSpace()
# The first edges of a normal and a reduction cell, in the order of the architecture parameters.
ROWS = [(node, source) for node in range(2, 6) for source in range(node)]


def table(strengths: dict[tuple[int, int], dict[str, float]]) -> torch.Tensor:
    """Probabilities: 0.01 but for those given."""
    values = torch.full((14, 8), 0.01)
    for edge, row in strengths.items():
        for name, value in row.items():
            values[ROWS.index(edge), SPACE.candidates.index(name)] = value
    return values


def test_size() -> None:
    cell = 49**4 * 1 * 3 * 6 * 10
    assert SPACE.size == cell**2
    assert DartsSpace(reduction="fixed").size == cell
    tiny = DartsSpace(nodes=2, candidates=("none", "skip_connect", "sep_conv_3x3"), reduction="fixed")
    assert tiny.size == len(set(map(tiny.genotype, enumerated(tiny.decisions)))) == 2**4 * 3  # type: ignore[arg-type]


def test_two_inputs_of_a_node_differ() -> None:
    for seed in range(20):
        genotype = SPACE.sample(torch.Generator().manual_seed(seed))
        for node in range(2, 6):
            first, second = genotype[f"normal.{node}.inputs"].split(",")
            assert int(first) < int(second) < node


def test_extraction_takes_the_two_strongest_edges_without_none() -> None:
    normal = table(
        {
            (2, 0): {"none": 0.9, "max_pool_3x3": 0.05},
            (2, 1): {"skip_connect": 0.4},
            (3, 0): {"sep_conv_3x3": 0.3, "none": 0.6},
            (3, 1): {"sep_conv_5x5": 0.2},
            (3, 2): {"dil_conv_3x3": 0.25},
            (5, 4): {"avg_pool_3x3": 0.9},
            (5, 1): {"dil_conv_5x5": 0.8},
        }
    )
    genotype = SPACE.discretize({"normal": normal, "reduce": table({})})
    assert [genotype[f"normal.2.{x}"] for x in ("inputs", "op0", "op1")] == ["0,1", "max_pool_3x3", "skip_connect"]
    assert [genotype[f"normal.3.{x}"] for x in ("inputs", "op0", "op1")] == ["0,2", "sep_conv_3x3", "dil_conv_3x3"]
    assert [genotype[f"normal.5.{x}"] for x in ("inputs", "op0", "op1")] == ["1,4", "dil_conv_5x5", "avg_pool_3x3"]
    # Ties go to the first edge and candidate, as in the authors' code.
    assert [genotype[f"reduce.4.{x}"] for x in ("inputs", "op0", "op1")] == ["0,1", "max_pool_3x3", "max_pool_3x3"]


def test_text_of_other_dialects() -> None:
    _, expected = published("DARTS_V1")
    text = SPACE.format(expected)
    assert SPACE.parse(text.replace("[2, 3, 4, 5]", "range(2, 6)")) == expected
    fields = text[len("Genotype(") : -1].replace("normal=", "'normal': ").replace("reduce=", "'reduce': ")
    fields = fields.replace("normal_concat=", "'normal_concat': ").replace("reduce_concat=", "'reduce_concat': ")
    assert SPACE.parse("{" + fields + "}") == expected


def test_text_of_pairs_with_strengths() -> None:
    nodes = [[("skip_connect", 0, 0.1), ("sep_conv_3x3", node - 1, 0.2)] for node in range(2, 6)]
    genotype = DartsSpace(reduction="fixed").parse(f"Genotype(normal={nodes}, reduce=None)")
    assert genotype["normal.5.inputs"] == "0,4"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Genotype(normal=[", "cannot be read"),
        ("__import__('os').system('true')", "no 'normal' cell"),
        ("Genotype(normal=open('x'), reduce=[])", "cannot be read"),
        ("[1, 2]", "no call and no dictionary"),
        ("Genotype(normal=3, reduce=3)", "'normal' cell of the genotype's text is no list"),
        ("Genotype(normal=[], reduce=[])", "holds 0 nodes in normal, the space has 4"),
        ("Genotype(normal=[('skip_connect', 0)], normal_concat=[2, 3], reduce=[])", r"normal_concat=\[2, 3\]"),
    ],
)
def test_bad_text_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SPACE.parse(text)


def test_a_reduction_cell_that_is_not_searched_is_refused() -> None:
    _, genotype = published("DARTS_V1")
    with pytest.raises(ValueError, match="has a 'reduce' cell, which this space does not search"):
        DartsSpace(reduction="fixed").parse(SPACE.format(genotype))


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"DartsSpace\(nodes=0\): give at least 1"):
        DartsSpace(nodes=0)
    with pytest.raises(ValueError, match=r"DartsSpace\(reduction='none'\)"):
        DartsSpace(reduction="none")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="name a candidate besides 'none'"):
        DartsSpace(candidates=["none"])
    with pytest.raises(ValueError, match="name at least one, and each once"):
        DartsSpace(candidates=["none", "none"])
    with pytest.raises(ValueError, match="builds on a CellSkeleton, not on a StagedSkeleton"):
        SPACE.build(None, StagedSkeleton())
    with pytest.raises(ValueError, match="has 12 channels; its grouped convolutions need a multiple of 8"):
        DartsSpace(reduction="fixed").build(None, CellSkeleton(cells=3, channels=6))


@pytest.mark.parametrize("size", [4, 5, 7, 10, 11])
@pytest.mark.parametrize("reduction", ["search", "fixed"])
def test_any_size_from_the_minimum_on(reduction: str, size: int) -> None:
    space, skeleton = DartsSpace(reduction=reduction), CellSkeleton(cells=3, channels=4)  # type: ignore[arg-type]
    assert skeleton.minimum_size == 4
    child = space.build(space.sample(torch.Generator().manual_seed(0)), skeleton).eval()
    assert child(torch.zeros(1, 3, size, size + 2)).logits.shape == (1, 10)


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_the_auxiliary_head_takes_images_from_the_minimum_on(stem: str) -> None:
    skeleton = CellSkeleton(cells=3, channels=4, stem=stem, auxiliary=True)  # type: ignore[arg-type]
    child = SPACE.build(SPACE.sample(torch.Generator().manual_seed(0)), skeleton)
    least = skeleton.minimum_size
    assert child(torch.zeros(2, 3, least, least)).auxiliary.shape == (2, 10)
    with pytest.raises(RuntimeError):
        child(torch.zeros(2, 3, least - 1, least - 1))
