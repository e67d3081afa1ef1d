"""Parameter counts: closed forms, and the figures that the authors' own networks give.

C channels; a norm has 2 C parameters if it is affine, else none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Genes = Sequence[tuple[str, int]]  # the text of a published cell: [(candidate, source), ...]


def darts_candidate(name: str, channels: int, stride: int, affine: bool) -> int:
    """Parameters of one candidate of the DARTS space, pools without an affine norm."""
    norm = 2 * channels * affine
    if name == "conv_7x1_1x7":
        return 2 * 7 * channels**2 + norm
    if name.startswith(("sep_conv", "dil_conv")):
        depthwise, pointwise = int(name[-1]) ** 2 * channels, channels**2
        return (2 if name.startswith("sep") else 1) * (depthwise + pointwise + norm)
    return channels**2 + norm if name == "skip_connect" and stride == 2 else 0


def darts_cell(genes: Genes, channels: int, reduction: bool) -> int:
    """Parameters of a child's cell without its two preprocessings."""
    return sum(
        darts_candidate(name, channels, 2 if reduction and source < 2 else 1, affine=True) for name, source in genes
    )


def darts_supernet_cell(channels: int, reduction: bool) -> int:
    """Parameters of a supernet's cell: 14 edges, eight of which come from the cell's inputs; all norms affine-free."""
    convolutions = sum(
        darts_candidate(f"{kind}_conv_{size}x{size}", channels, 1, affine=False)
        for kind in ("sep", "dil")
        for size in (3, 5)
    )
    return 14 * convolutions + (8 * channels**2 if reduction else 0)


def fixed_reduction_cell(channels: int, affine: bool = True) -> int:
    """GDAS's reduction cell: two branches of 1x3 and 3x1 (8 groups), norm, 1x1, norm; two pools with a norm."""
    norm = 2 * channels * affine
    branch = 2 * (3 * channels * channels // 8) + channels**2 + 2 * norm
    return 2 * branch + 2 * norm


def darts_network(
    normal: Genes | None,
    reduce: Genes | None,
    *,
    cells: int,
    channels: int,
    classes: int,
    stem: str = "cifar",
    auxiliary: bool = False,
    ends: tuple[int, int] = (4, 4),
) -> int:
    """Parameters of a network; `normal=None`: the supernet; `reduce=None` beside a normal cell: the fixed reduction.

    `ends` says how many states a normal and a reduction cell concatenate.
    """
    if stem == "cifar":
        before = last = 3 * channels
        total = 27 * last + 2 * last
    else:
        before = last = channels
        half = channels // 2
        total = 27 * half + 2 * half + 9 * half * channels + 2 * channels + 9 * channels**2 + 2 * channels
    width = channels
    for i in range(cells):
        reduction = i in (cells // 3, 2 * cells // 3)
        width = 2 * width if reduction else width
        total += (before + last) * width + (0 if normal is None else 4 * width)  # the two preprocessings
        if normal is None:
            total += darts_supernet_cell(width, reduction)
        elif reduction:
            total += fixed_reduction_cell(width) if reduce is None else darts_cell(reduce, width, reduction=True)
        else:
            total += darts_cell(normal, width, reduction=False)
        before, last = last, ends[reduction] * width
        if auxiliary and i == 2 * cells // 3:
            second_norm = 2 * 768 if stem == "cifar" else 0
            total += last * 128 + 2 * 128 + 128 * 768 * 4 + second_norm + (768 + 1) * classes
    return total + (last + 1) * classes


def nasbench201_network(
    candidates: Sequence[str] | None, *, cells: int = 5, channels: int = 16, classes: int = 10
) -> int:
    """Parameters of a network with so many cells a stage: a child of six candidates, or the supernet (`None`).

    The supernet's convolutions have a bias, because their norm has none.
    """

    def cell(c: int) -> int:
        size = {"nor_conv_1x1": c**2, "nor_conv_3x3": 9 * c**2}
        if candidates is None:
            return 6 * sum(kernel + c for kernel in size.values())
        return sum(size[name] + 2 * c for name in candidates if name in size)

    def block(c: int) -> int:
        return 9 * (c // 2) * c + 2 * c + 9 * c**2 + 2 * c + (c // 2) * c

    widths = (channels, 2 * channels, 4 * channels)
    stem = 27 * channels + 2 * channels
    head = 2 * widths[2] + (widths[2] + 1) * classes
    return stem + cells * sum(map(cell, widths)) + sum(map(block, widths[1:])) + head


class AuthorsCount(NamedTuple):
    """Parameters without and with the auxiliary head, counted in the authors' networks."""

    cifar10: tuple[int, int]  # 20 cells, 36 channels, 10 classes
    imagenet: tuple[int, int]  # 14 cells, 48 channels, 1000 classes


# NetworkCIFAR and NetworkImageNet of https://github.com/quark0/darts (cnn/model.py). The cells: DARTS_V1 and DARTS_V2
# from its genotypes.py, PC_DARTS_* from https://github.com/yuhuixu1993/PC-DARTS, P_DARTS from
# https://github.com/chenxin061/pdarts, GDAS_V1 from https://github.com/D-X-Y/AutoDL-Projects (xautodl/nas_infer_model).
# The networks of nas_infer_model have the same counts, but for ImageNet with the auxiliary head: theirs keeps the
# head's second norm, 1536 parameters more.
AUTHORS_CHILDREN = {
    "DARTS_V1": AuthorsCount((3_169_414, 3_645_840), (4_510_432, 5_771_208)),
    "DARTS_V2": AuthorsCount((3_349_342, 3_825_768), (4_718_752, 5_979_528)),
    "PC_DARTS_CIFAR": AuthorsCount((3_634_678, 4_111_104), (5_270_560, 6_531_336)),
    "PC_DARTS_IMAGENET": AuthorsCount((3_721_510, 4_197_936), (5_342_464, 6_603_240)),
    "P_DARTS": AuthorsCount((3_433_798, 3_910_224), (4_944_352, 6_205_128)),
    "GDAS_V1": AuthorsCount((3_368_782, 3_845_208), (4_969_216, 6_229_992)),
    # nas_infer_model's networks with GDAS_Reduction_Cell (xautodl/models/cell_operations.py) for reductions; the
    # ImageNet head counted without its second norm, as in the rows above (with it 5_104_200).
    "GDAS_F1": AuthorsCount((2_543_014, 3_019_440), (3_841_888, 5_102_664)),
    # NASNet and AmoebaNet of genotypes.py in quark0/darts, in its networks
    "NASNET_A": AuthorsCount((3_830_950, 4_288_944), (5_564_320, 6_800_520)),
    "AMOEBANET_A": AuthorsCount((3_145_078, 3_603_072), (4_627_360, 5_863_560)),
}

# Supernets for 10 classes with 16 channels, architecture parameters not counted.
AUTHORS_SUPERNETS = {
    # cnn/model_search.py of quark0/darts, 8 cells
    "darts_8_cells": 1_930_618,
    # xautodl/models/cell_searchs of AutoDL-Projects, affine=False: TinyNetworkGDAS, 5 cells a stage
    "nasbench201_gdas": 1_692_826,
    # the same, NASNetworkGDAS and NASNetworkGDAS_FRC, 6 cells: pools without a norm, a bias in every pointwise
    # convolution (its norm has none), and an affine norm before the classifier
    "autodl_nasnet_gdas": 1_343_034,
    "autodl_nasnet_gdas_frc": 744_570,
}
