"""The convolutional chain: its decisions, and its network against one written by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas import CellSkeleton, Genotype
from lightning_nas.execution import Execution
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import ChainSkeleton, ConvChainSpace

SPACE = ConvChainSpace(depths=(2, 4), strides=(1, 2, 3))
# Height, width, stride, filters and anchors of each layer: the third reads the images, only the last is read by nobody
# beside the second.
LAYERS = [
    ("3", "5", "2", "24", None),
    ("1", "7", "1", "64", "1"),
    ("5", "1", "3", "36", "00"),
    ("3", "3", "1", "48", "101"),
]


def chain(layers: list[tuple[str, str, str, str, str | None]], space: ConvChainSpace = SPACE) -> Genotype:
    choices = {"depth": str(len(layers))}
    for index, values in enumerate(layers):
        for name, value in zip(("height", "width", "stride", "filters", "anchors"), values, strict=True):
            if value is not None:
                choices[f"layer.{index}.{name}"] = value
    return space.genotype(choices)


def test_the_network_is_the_papers() -> None:
    skeleton = ChainSkeleton(classes=7)
    network = SPACE.build(chain(LAYERS), skeleton).double()
    state = network.state_dict()
    images = torch.randn(3, 3, 11, 8, generator=generator(0), dtype=torch.float64)

    def layer(index: int, x: Tensor, stride: int) -> Tensor:
        weight = state[f"layers.{index}.conv.weight"]
        padding = (weight.shape[2] // 2, weight.shape[3] // 2)
        x = F.conv2d(x, weight, stride=stride, padding=padding)
        scale, shift = state[f"layers.{index}.norm.weight"], state[f"layers.{index}.norm.bias"]
        return F.batch_norm(x, None, None, scale, shift, training=True).clamp(min=0.0)

    first = layer(0, images, 2)  # 6 x 4
    second = layer(1, first, 1)  # 6 x 4, read by nobody
    third = layer(2, images, 3)  # 4 x 3
    padded = torch.zeros(3, 36, 6, 4, dtype=torch.float64)
    padded[:, :, :4, :3] = third
    fourth = layer(3, torch.cat([first, padded], 1), 1)  # read by nobody
    features = torch.cat([second, fourth], 1).mean((2, 3))
    expected = features @ state["classifier.weight"].T + state["classifier.bias"]
    torch.testing.assert_close(network(images).logits, expected, rtol=1e-10, atol=1e-10)
    assert {key: tuple(value.shape) for key, value in state.items() if "conv" in key} == {
        "layers.0.conv.weight": (24, 3, 3, 5),
        "layers.1.conv.weight": (64, 24, 1, 7),
        "layers.2.conv.weight": (36, 3, 5, 1),
        "layers.3.conv.weight": (48, 60, 3, 3),
    }


def test_channels_scale_all_layers() -> None:
    for channels, widths in ((16, [6, 16, 9, 12]), (128, [48, 128, 72, 96]), (1, [1, 1, 1, 1])):
        network = SPACE.build(chain(LAYERS), ChainSkeleton(channels=channels))
        assert [len(network.state_dict()[f"layers.{i}.conv.weight"]) for i in range(4)] == widths


def test_decisions_are_in_the_order_of_the_paper() -> None:
    names = [decision.name for decision in SPACE.decisions]
    assert names[:6] == ["depth", *(f"layer.0.{x}" for x in ("height", "width", "stride", "filters")), "layer.1.height"]
    assert names[-2:] == ["layer.3.filters", "layer.3.anchors"]
    assert SPACE.decisions[-1].earlier == ("layer.0.filters", "layer.1.filters", "layer.2.filters")  # type: ignore[attr-defined]
    assert [d.condition is None for d in SPACE.decisions] == [True] + [True] * 9 + [False] * 10


def test_size() -> None:
    layer = 4 * 4 * 3 * 4
    assert SPACE.size == layer**2 * 2 + layer**4 * 2**6
    assert ConvChainSpace(depths=(15,)).size == 64**15 * 2**105
    assert ConvChainSpace().size == sum(64**n * 2 ** (n * (n - 1) // 2) for n in range(6, 21, 2))


def test_a_mutated_depth_draws_the_new_layers() -> None:
    shallow = chain(LAYERS[:2])
    depths = set()
    for seed in range(100):
        mutated = SPACE.mutate(shallow, generator(seed))
        depths.add(mutated["depth"])
        if mutated["depth"] == "4":
            assert mutated.choices[1:10] == shallow.choices[1:]
            assert SPACE.build(mutated, ChainSkeleton(channels=4))(torch.zeros(2, 3, 5, 5)).logits.shape == (2, 10)
    assert depths == {"2", "4"}


def test_mutated_anchors_differ_in_one_bit() -> None:
    space = ConvChainSpace(depths=(4,), heights=(3,), widths=(3,), filters=(24,))
    genotype = space.sample(generator(0))
    for seed in range(20):
        mutated = space.mutate(genotype, generator(seed))
        ((old, new),) = [(a, b) for (_, a), (_, b) in zip(genotype, mutated, strict=True) if a != b]
        assert sum(a != b for a, b in zip(old, new, strict=True)) == 1


@pytest.mark.parametrize("size", [1, 2, 5])
def test_any_size_can_be_taken(size: int) -> None:
    assert ChainSkeleton().minimum_size == 1
    for seed in range(5):
        network = SPACE.build(SPACE.sample(generator(seed)), ChainSkeleton(channels=4)).eval()
        assert network(torch.zeros(1, 3, size, size + 1)).logits.shape == (1, 10)


def test_checkpointed_layers_give_the_same_gradients() -> None:
    images = torch.randn(3, 3, 11, 8, generator=generator(0), dtype=torch.float64)
    found = []
    for checkpoint_cells in (False, True):
        torch.manual_seed(0)
        network = SPACE.build(
            chain(LAYERS), ChainSkeleton(channels=8), Execution(checkpoint_cells=checkpoint_cells)
        ).double()
        loss = network(images).logits.square().sum()
        found.append([*torch.autograd.grad(loss, list(network.parameters())), *network.buffers()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": ()}, r"ConvChainSpace\(depths=\[\]\): give one or more different positive integers"),
        ({"depths": (0, 2)}, r"depths=\[0, 2\]"),
        ({"depths": (2, 61)}, r"ConvChainSpace\(depths=\[2, 61\]\): give at most 60 layers"),
        ({"heights": (3, 4)}, r"heights=\[3, 4\]\): give one or more different odd positive integers"),
        ({"widths": (2,)}, r"widths=\[2\]\): give one or more different odd"),
        ({"filters": (24, 24)}, r"filters=\[24, 24\]"),
        ({"strides": (1.5,)}, r"strides=\[1.5\]"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvChainSpace(**arguments)  # type: ignore[arg-type]


def test_another_skeleton_is_refused() -> None:
    with pytest.raises(ValueError, match="builds on a ChainSkeleton, not on a CellSkeleton"):
        SPACE.build(chain(LAYERS), CellSkeleton())
