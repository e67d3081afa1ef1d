"""The NASNet space: decisions, loose ends, text, and a cell against one written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas import CellSkeleton, EdgeWeights, Genotype, StagedSkeleton
from lightning_nas.networks.joined_width import JoinedConv, JoinedLinear, JoinedWidth
from lightning_nas.networks.two_input_cells import Looseness
from lightning_nas.reports.cells import draw_genotype
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import NasnetSpace, published

SPACE = NasnetSpace()
SMALL = NasnetSpace(blocks=2, candidates=("skip_connect", "sep_conv_3x3", "nor_conv_1x1"))


def small(normal: list[tuple[int, int]], reduce: list[tuple[int, int]], operation: str = "nor_conv_1x1") -> Genotype:
    """Both inputs of each block, with one operation everywhere."""
    choices: dict[str, str] = {}
    for name, cell in (("normal", normal), ("reduce", reduce)):
        for node, sources in enumerate(cell, start=2):
            for slot, source in enumerate(sources):
                choices |= {f"{name}.{node}.input{slot}": str(source), f"{name}.{node}.op{slot}": operation}
    return SMALL.genotype(choices)


def test_decisions_are_in_the_order_of_the_paper() -> None:
    names = [decision.name for decision in SPACE.decisions]
    assert names[:5] == ["normal.2.input0", "normal.2.input1", "normal.2.op0", "normal.2.op1", "normal.3.input0"]
    assert len(names) == 2 * 5 * 4
    assert SPACE.decisions[4].options == ("0", "1", "2")
    assert len(SPACE.candidates) == 13


def test_size() -> None:
    assert SPACE.size == ((2 * 3 * 4 * 5 * 6) ** 2 * 13**10) ** 2


def test_loose_ends_are_what_no_block_reads() -> None:
    for seed in range(50):
        genotype = SPACE.sample(generator(seed))
        for name, ends in SPACE.loose_ends(genotype).items():
            read = {value for decision, value in genotype if decision.startswith(f"{name}.") and ".input" in decision}
            assert [str(end) for end in ends] == [node for node in "23456" if node not in read]
            assert ends[-1] == 6


def test_loose_ends_of_published_cells() -> None:
    expected = {"NASNET_A": ((2, 3, 4, 5, 6), (4, 5, 6)), "AMOEBANET_A": ((4, 5, 6), (3, 4, 6))}
    for name, (normal, reduce) in expected.items():
        space, genotype = published(name)
        assert isinstance(space, NasnetSpace)
        assert space.loose_ends(genotype) == {"normal": normal, "reduce": reduce}


def test_looseness_of_a_path_and_of_equal_weights() -> None:
    space = NasnetSpace(blocks=3)
    looseness = Looseness(space.groups["normal"]).double()
    for seed in range(20):
        genotype = space.sample(generator(seed))
        for name, weights in space.path(genotype).items():
            loose = looseness(EdgeWeights(weights.values.double()))
            assert loose.tolist() == [float(node in space.loose_ends(genotype)[name]) for node in (2, 3, 4)]
    equal = looseness(EdgeWeights(torch.full(space.groups["normal"].shape, 0.3, dtype=torch.float64)))
    # Node 2 can be read by both slots of node 3, one source in three, and of node 4, one in four.
    expected = torch.tensor([(2 / 3 * 3 / 4) ** 2, (3 / 4) ** 2, 1.0], dtype=torch.float64)
    torch.testing.assert_close(equal, expected, rtol=1e-12, atol=0.0)


def test_looseness_has_a_gradient() -> None:
    values = torch.rand(NasnetSpace(blocks=2).groups["normal"].shape, dtype=torch.float64, requires_grad=True)
    looseness = Looseness(NasnetSpace(blocks=2).groups["normal"])
    assert torch.autograd.gradcheck(lambda x: looseness(EdgeWeights(x)), (values,))


@pytest.mark.parametrize("reduce", [[(0, 1), (1, 1)], [(1, 0), (2, 0)]], ids=["two ends", "one end"])
def test_a_network_is_its_concatenation(reduce: list[tuple[int, int]]) -> None:
    """One reduction cell (4 channels doubled), all operations ReLU, 1x1 convolution, norm."""
    network = SMALL.build(small([(0, 0), (0, 0)], reduce), CellSkeleton(cells=1, channels=4)).double()
    state = network.state_dict()
    images = torch.randn(3, 3, 6, 6, generator=generator(0), dtype=torch.float64)

    def conv(x: Tensor, key: str, norm: str, stride: int = 1, padding: int = 0) -> Tensor:
        x = F.conv2d(x, state[key], stride=stride, padding=padding)
        return F.batch_norm(x, None, None, state[f"{norm}.weight"], state[f"{norm}.bias"], training=True)

    stem = conv(images, "stem.0.weight", "stem.1", padding=1)
    states = [conv(stem.relu(), f"cells.0.preprocess{i}.conv.weight", f"cells.0.preprocess{i}.norm") for i in (0, 1)]
    for node, sources in enumerate(reduce, start=2):
        parts = []
        for slot, source in enumerate(sources):
            key = f"cells.0.edges.{node}_{slot}_{source}.nor_conv_1x1"
            parts.append(conv(states[source].relu(), f"{key}.conv.weight", f"{key}.norm", 2 if source < 2 else 1))
        states.append(parts[0] + parts[1])
    ends = [node for node in (2, 3) if not any(node in sources for sources in reduce)]
    features = torch.cat([states[node] for node in ends], 1).mean((2, 3))
    weight = torch.cat([state[f"classifier.weight.{node}"] for node in ends], 1)
    expected = features @ weight.T + state["classifier.bias"]
    torch.testing.assert_close(network(images).logits, expected, rtol=1e-10, atol=1e-10)


def test_every_parameter_of_a_child_has_a_gradient_where_an_input_is_not_read() -> None:
    child = SMALL.build(small([(1, 1), (1, 2)], [(0, 0), (0, 0)]), CellSkeleton(cells=4, channels=4))
    child(torch.randn(2, 3, 8, 8)).logits.sum().backward()
    assert all(weight.grad is not None for weight in child.parameters())
    assert child.cells[0].unread_inputs == (0,)


def test_joined_weights_are_one_weight_in_parts() -> None:
    width = JoinedWidth((2, 5), 3)
    assert (width, width.states, width.width) == (6, (2, 5), 3)
    conv, linear = JoinedConv(width, 4, stride=2), JoinedLinear(width, 4)
    x = torch.randn(2, 6, 5, 5)
    torch.testing.assert_close(conv(x), F.conv2d(x, torch.cat([conv.weight["2"], conv.weight["5"]], 1), stride=2))
    flat = x.mean((2, 3))
    expected = flat[:, :3] @ linear.weight["2"].T + flat[:, 3:] @ linear.weight["5"].T + linear.bias
    torch.testing.assert_close(linear(flat), expected)
    assert all(weight.abs().max() <= 6**-0.5 for weight in (*conv.parameters(), *linear.parameters()))


def test_extraction_takes_the_strongest_source_of_each_slot() -> None:
    group = SMALL.groups["normal"]
    values = torch.full(group.shape, 0.1)
    strongest = {(2, 0): (1, 2), (2, 1): (1, 0), (3, 0): (2, 1)}  # (node, slot): (source, candidate)
    for row, edge in enumerate(group.edges):
        if edge.slot is not None and (edge.node, edge.slot) in strongest:
            source, column = strongest[edge.node, edge.slot]
            values[row, column] = 0.5 if edge.source == source else 0.2
    genotype = SMALL.discretize({"normal": values, "reduce": torch.full(group.shape, 0.1)})
    found = [genotype[f"normal.2.{x}"] for x in ("input0", "op0", "input1", "op1")]
    assert found == ["1", "nor_conv_1x1", "1", "skip_connect"]
    assert [genotype[f"normal.3.{x}"] for x in ("input0", "op0")] == ["2", "sep_conv_3x3"]
    # Ties go to the first source and candidate.
    assert [genotype[f"reduce.3.{x}"] for x in ("input1", "op1")] == ["0", "skip_connect"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("normal_concat=[4, 5, 6]", "normal_concat=[2, 3]"), r"normal_concat=\[2, 3\]: .* the nodes \[4, 5, 6\]"),
        (("('sep_conv_3x3', 1), ('skip_connect', 1), ", ""), r"this space concatenates the nodes \[4, 5\]"),
        (("('sep_conv_3x3', 5)", "('none', 5)"), "chooses reduce.6.op1='none', which NasnetSpace does not offer"),
        (("('conv_7x1_1x7', 0)", "('conv_7x1_1x7', 6)"), r"reduce_concat=\[3, 4, 6\]"),
    ],
)
def test_bad_text_is_named(change: tuple[str, str], message: str) -> None:
    text = SPACE.format(published("AMOEBANET_A")[1])
    with pytest.raises(ValueError, match=message):
        SPACE.parse(text.replace(*change))


def test_text_of_another_number_of_blocks_is_refused() -> None:
    text = SMALL.format(SMALL.sample(generator(0)))
    with pytest.raises(ValueError, match=r"The text's blocks in normal have \[2, 2\] inputs, the space's 5 2 each"):
        SPACE.parse(text)
    with pytest.raises(ValueError, match=r"blocks in normal have \[1, 1\] inputs"):
        SMALL.parse("Genotype(normal=[[('skip_connect', 0)], [('skip_connect', 1)]], reduce=[])")


def test_text_keeps_the_order_of_the_inputs() -> None:
    _, genotype = published("NASNET_A")
    assert [genotype[f"normal.2.{x}"] for x in ("input0", "op0", "input1")] == ["1", "sep_conv_5x5", "0"]
    text = SPACE.format(genotype)
    assert "normal_concat=[2, 3, 4, 5, 6]" in text
    assert "reduce_concat=[4, 5, 6]" in text


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"NasnetSpace\(blocks=0\): give at least 1"):
        NasnetSpace(blocks=0)
    with pytest.raises(ValueError, match="leave out 'none'; a block has two inputs"):
        NasnetSpace(candidates=("none", "skip_connect"))
    with pytest.raises(ValueError, match="candidates: 'conv' is unknown"):
        NasnetSpace(candidates=("conv",))
    with pytest.raises(ValueError, match="builds on a CellSkeleton, not on a StagedSkeleton"):
        SPACE.build(None, StagedSkeleton())


@pytest.mark.parametrize("stem", ["cifar", "imagenet"])
def test_any_size_from_the_minimum_on(stem: str) -> None:
    skeleton = CellSkeleton(cells=3, channels=4, stem=stem, auxiliary=True)  # type: ignore[arg-type]
    child = SPACE.build(SPACE.sample(generator(0)), skeleton)
    least = skeleton.minimum_size
    assert child(torch.zeros(2, 3, least, least + 3)).auxiliary.shape == (2, 10)


def test_pictures_show_both_inputs_of_a_block_and_the_loose_ends() -> None:
    panels = draw_genotype(SMALL, small([(0, 0), (1, 1)], [(0, 1), (2, 2)])).axes
    assert [len([t for t in panel.texts if t.get_text() == "nor_conv_1x1"]) for panel in panels] == [4, 4]
    assert [len(panel.patches) for panel in panels] == [4 + 2, 4 + 1]
