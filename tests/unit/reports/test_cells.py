"""Pictures: what stands in them, and that labels can be read."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import matplotlib
import matplotlib.image
import pytest
import torch
from matplotlib.text import Text

from lightning_nas import Edge, EdgeGroup, Genotype
from lightning_nas.reports.cells import draw_genotype, save_picture
from lightning_nas.spaces import DartsSpace, NasBench201Space, published, published_names


def texts(figure: matplotlib.figure.Figure) -> list[str]:
    return [text.get_text() for panel in figure.axes for text in panel.texts]


def test_two_input_cells_show_their_inputs_nodes_and_output() -> None:
    figure = draw_genotype(*published("DARTS_V2"))
    normal = [text.get_text() for text in figure.axes[0].texts]
    assert normal[-7:] == ["$c_{k-2}$", "$c_{k-1}$", "0", "1", "2", "3", "$c_k$"]
    assert sorted(normal[:-7]) == sorted(["sep_conv_3x3"] * 5 + ["skip_connect"] * 2 + ["dil_conv_3x3"])
    assert len(figure.axes[0].patches) == 8 + 4  # each node is concatenated


def test_a_one_input_cell_ends_in_its_last_node() -> None:
    space = NasBench201Space()
    cell = space.parse("|nor_conv_3x3~0|+|skip_connect~0|none~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|")
    figure = draw_genotype(space, cell)
    assert texts(figure)[-4:] == ["input", "0", "1", "output"]
    assert texts(figure).count("none") == 1
    assert len(figure.axes[0].patches) == 6


def cells() -> list[tuple[object, Genotype]]:
    generator = torch.Generator().manual_seed(0)
    spaces = [DartsSpace(), DartsSpace(nodes=7), NasBench201Space(), NasBench201Space(nodes=6)]
    return [published(name) for name in published_names()] + [
        (s, s.sample(generator)) for s in spaces for _ in range(3)
    ]


def test_labels_do_not_overlap() -> None:
    for space, genotype in cells():
        figure = draw_genotype(space, genotype)
        figure.draw_without_rendering()
        for panel in figure.axes:
            boxes = [(text.get_text(), text.get_window_extent()) for text in panel.texts]
            for (name, box), (other, other_box) in combinations(boxes, 2):
                assert not box.overlaps(other_box), f"{name} lies on {other}"
            assert all(figure.bbox.contains(*corner) for _, box in boxes for corner in (box.min, box.max))


def test_two_slots_of_one_source_are_drawn_apart() -> None:
    class Slots(NasBench201Space):
        groups = {"cell": EdgeGroup("cell", (Edge(2, 0, 0), Edge(2, 0, 1)), ("none", "skip_connect"))}

    space = Slots()
    figure = draw_genotype(space, space.sample(torch.Generator().manual_seed(0)))
    labels: list[Text] = figure.axes[0].texts[:2]
    assert labels[0].get_position() != labels[1].get_position()


def test_saved_as_png_without_pyplot_state(tmp_path: Path) -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    path = save_picture(draw_genotype(*published("GDAS_F1")), tmp_path / "new" / "cell.png")
    assert matplotlib.image.imread(path).shape[1] > 1000
    assert pyplot.get_fignums() == before
    assert [file.name for file in path.parent.iterdir()] == ["cell.png"]


def test_a_genotype_of_another_space_is_refused() -> None:
    _, genotype = published("DARTS_V2")
    with pytest.raises(ValueError, match="one of DartsSpace, not of NasBench201Space"):
        draw_genotype(NasBench201Space(), genotype)
