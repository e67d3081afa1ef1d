"""The ENAS spaces: decisions, text, extraction, errors, pictures."""

from __future__ import annotations

import pytest
import torch

from lightning_nas import CellSkeleton, Norm
from lightning_nas.reports.cells import draw_genotype
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import EnasMacroSpace, EnasMicroSpace, MacroSkeleton, NasnetSpace

SMALL = EnasMacroSpace(layers=4, candidates=("branch_conv_3x3", "skip_connect"))


def test_micro_is_nasnet_with_other_candidates() -> None:
    space = EnasMicroSpace()
    assert isinstance(space, NasnetSpace)
    assert space.candidates == ("sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3", "skip_connect")
    assert space.size == ((2 * 3 * 4 * 5 * 6) ** 2 * 5**10) ** 2
    genotype = space.sample(generator(0))
    assert genotype.space == "EnasMicroSpace"
    with pytest.raises(ValueError, match="is one of EnasMicroSpace, not of NasnetSpace"):
        NasnetSpace(candidates=space.candidates).check(genotype)


def test_micro_skeletons_are_the_authors() -> None:
    search, final = EnasMicroSpace().skeleton(), EnasMicroSpace().skeleton(cells=17, channels=36)
    assert (search.cells, search.channels, search.reductions) == (8, 20, (2, 5))  # 6 layers, and 2 that reduce
    assert (search.norm, search.pool_norm) == (Norm(), False)
    assert (final.channels, final.reductions) == (36, (5, 11))


def test_micro_names_itself_in_errors() -> None:
    with pytest.raises(ValueError, match=r"EnasMicroSpace\(blocks=0\): give at least 1"):
        EnasMicroSpace(blocks=0)
    with pytest.raises(ValueError, match=r"EnasMicroSpace\(candidates=\['none'\]\): leave out 'none'"):
        EnasMicroSpace(candidates=("none",))
    with pytest.raises(ValueError, match="EnasMicroSpace builds on a CellSkeleton, not on a MacroSkeleton"):
        EnasMicroSpace().build(None, MacroSkeleton())


def test_macro_decisions_and_size() -> None:
    space = EnasMacroSpace()
    names = [decision.name for decision in space.decisions]
    assert names[:4] == ["layer.1.op", "layer.2.op", "layer.2.skips", "layer.3.op"]
    assert space.size == 6**12 * 2 ** (12 * 11 // 2)  # of the paper
    last = space.decisions[-1]
    assert (last.name, len(last.options)) == ("layer.12.skips", 2**11)
    assert last.earlier == tuple(f"layer.{layer}.op" for layer in range(1, 12))  # type: ignore[attr-defined]
    assert EnasMacroSpace(layers=60).size > 2**1770


@pytest.mark.parametrize("first", [0, 1])
def test_bits_stand_for_the_layers_in_order(first: int) -> None:
    space = EnasMacroSpace(layers=4, candidates=("skip_connect",), first_source=first)  # type: ignore[arg-type]
    genotype = space.parse("0 0 1 0 0 1 0 1 0 1")
    present = [(edge.node, edge.source - first) for edge, _ in space.connections(genotype)["skips"]]
    assert present == [(2, 0), (3, 1), (4, 0), (4, 2)]


def test_text_is_the_authors() -> None:
    space = EnasMacroSpace(layers=3)
    genotype = space.parse("5\n 3 1\n 0 0 1")
    assert dict(genotype) == {
        "layer.1.op": "branch_max_pool_3x3",
        "layer.2.op": "branch_sep_conv_5x5",
        "layer.2.skips": "1",
        "layer.3.op": "branch_conv_3x3",
        "layer.3.skips": "01",
    }
    assert space.format(genotype) == "5 3 1 0 0 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1 0", r"text='0 1 0': the 4 layers of the space take 10 numbers, .* and it has 3 words"),
        ("0 1 0 0 0 0 1 0 0 x", "take 10 numbers"),
        ("0 1 0 0 0 0 2 0 0 0", r"layer 4 reads '2 0 0 0': give an operation from 0 to 1, then 3 bits"),
        ("0 1 0 0 0 3 1 0 0 0", r"layer 3 reads '0 0 3': give an operation from 0 to 1, then 2 bits"),
    ],
)
def test_bad_text_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SMALL.parse(text)


def test_extraction_takes_the_strongest_operation_and_what_is_rather_present() -> None:
    ops = torch.tensor([[0.4, 0.6], [0.5, 0.5], [0.9, 0.1], [0.0, 1.0]])
    skips = torch.tensor([[0.4, 0.6], [0.6, 0.4], [0.5, 0.5], [0.1, 0.9], [0.2, 0.8], [0.9, 0.1]])
    assert SMALL.format(SMALL.discretize({"ops": ops, "skips": skips})) == "1 0 1 0 0 0 1 1 1 0"


def test_a_mutation_turns_one_bit_or_changes_one_operation() -> None:
    old, changed = SMALL.sample(generator(0)), set[str]()
    for seed in range(40):
        new = SMALL.mutate(old, generator(1, seed))
        pairs = zip(SMALL.format(old).split(), SMALL.format(new).split(), strict=True)
        assert sum(one != other for one, other in pairs) == 1
        changed |= {name for name, option in new if option != old[name]}
    assert len(changed) > 4


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match=r"EnasMacroSpace\(layers=1\): give 2 to 60"):
        EnasMacroSpace(layers=1)
    with pytest.raises(ValueError, match=r"EnasMacroSpace\(first_source=2\): give 1, the first layer, or 0"):
        EnasMacroSpace(first_source=2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="candidates: 'conv' is unknown"):
        EnasMacroSpace(candidates=("conv",))
    with pytest.raises(ValueError, match="EnasMacroSpace builds on a MacroSkeleton, not on a CellSkeleton"):
        SMALL.build(None, CellSkeleton())
    for arguments, message in {
        "channels": (1, r"MacroSkeleton\(channels=1\): give an integer of at least 2"),
        "growth": (0, r"MacroSkeleton\(growth=0\): give an integer of at least 1"),
        "merge": ("sum", r"MacroSkeleton\(merge='sum'\): give 'add' or 'concatenate'"),
        "dropout": (1.0, r"MacroSkeleton\(dropout=1.0\): give a number in \[0, 1\)"),
    }.items():
        with pytest.raises(ValueError, match=message[1]):
            MacroSkeleton(**{arguments: message[0]})  # type: ignore[arg-type]


def test_resized_changes_channels_and_refuses_cells() -> None:
    assert MacroSkeleton(merge="concatenate").resized(channels=96) == MacroSkeleton(96, merge="concatenate")
    with pytest.raises(ValueError, match="cells=8: a MacroSkeleton has no cells to count"):
        MacroSkeleton().resized(cells=8)


def test_a_picture_shows_the_chain_and_its_skips_in_one_panel() -> None:
    (panel,) = draw_genotype(SMALL, SMALL.parse("0 1 1 0 0 0 1 1 0 1")).axes
    texts = [text.get_text() for text in panel.texts]
    assert [texts.count(name) for name in ("branch_conv_3x3", "skip_connect", "present")] == [2, 2, 3]
