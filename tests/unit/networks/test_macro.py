"""The network of the ENAS macro space: sizes, skips, and the whole against one written by hand."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas import EdgeWeights
from lightning_nas.execution import Execution
from lightning_nas.execution.reference import DropPath
from lightning_nas.networks.macro import MacroNetwork
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import EnasMacroSpace, MacroSkeleton

SMALL = EnasMacroSpace(layers=4, candidates=("branch_conv_3x3", "skip_connect"))


def images(size: int = 8) -> Tensor:
    return torch.randn(2, 3, size, size, generator=generator(0, "images"), dtype=torch.float64)


def supernet(merge: str, execution: Execution = Execution(), **sizes: Any) -> MacroNetwork:
    torch.manual_seed(0)
    network = SMALL.build(None, MacroSkeleton(channels=4, merge=merge, **sizes), execution).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return network


def parameters(text: str, channels: int, merge: str, growth: int = 1, classes: int = 10) -> int:
    """Those of a network whose layers `text` describes, counted by hand from the definitions of the paper.

    Layers number from 1, and bits from layer 1 on.
    """
    words = [int(word) for word in text.split()]
    layers = next(n for n in range(100) if n * (n + 1) // 2 == len(words))
    third = layers // 3
    at = [0, *((k > third) + (k > 2 * third) if third else 0 for k in range(1, layers + 1))]  # reductions before
    width = [channels * growth**stage for stage in range(3)]
    total = 3 * 9 * channels + 2 * channels + (width[at[-1]] + 1) * classes
    reduced, start = set[tuple[int, int]](), 0
    for k in range(1, layers + 1):
        c, op, bits = width[at[k]], words[start], words[start + 1 : start + k]
        start += k
        second = {0: 9 * c * c, 1: 9 * c + c * c, 2: 25 * c * c, 3: 25 * c + c * c}.get(op)
        total += c * c + 2 * c + (0 if second is None else second + 2 * c)
        sources = [source for source, bit in enumerate(bits, start=1) if bit]
        if k > 1:
            total += 2 * c + ((1 + len(sources)) * c * c if merge == "concatenate" else 0)
        for source in (k - 1, *sources):
            reduced |= {(source, stage) for stage in range(at[source] + 1, at[k] + 1)}
    return total + sum(width[stage - 1] * width[stage] + 2 * width[stage] for _, stage in reduced)


@pytest.mark.parametrize("growth", [1, 2])
@pytest.mark.parametrize("merge", ["add", "concatenate"])
@pytest.mark.parametrize("layers", [2, 3, 7, 12])
def test_parameters(layers: int, merge: str, growth: int) -> None:
    space, skeleton = EnasMacroSpace(layers=layers), MacroSkeleton(channels=6, merge=merge, growth=growth)  # type: ignore[arg-type]
    for seed in range(5):
        genotype = space.sample(generator(seed))
        with torch.device("meta"):
            child = space.build(genotype, skeleton)
        expected = parameters(space.format(genotype), 6, merge, growth)
        assert sum(weight.numel() for weight in child.parameters()) == expected


@pytest.mark.parametrize("first", [0, 1])
def test_every_parameter_of_a_child_has_a_gradient(first: int) -> None:
    space = EnasMacroSpace(layers=6, first_source=first)  # type: ignore[arg-type]
    for seed, merge in product(range(3), ("add", "concatenate")):
        child = space.build(space.sample(generator(seed)), MacroSkeleton(channels=4, merge=merge))  # type: ignore[arg-type]
        child(torch.randn(2, 3, 8, 8)).logits.sum().backward()
        assert all(weight.grad is not None for weight in child.parameters())


@pytest.mark.parametrize("layers", [2, 3, 5, 6, 12])
def test_shapes(layers: int) -> None:
    space = EnasMacroSpace(layers=layers, candidates=("branch_conv_3x3", "branch_avg_pool_3x3"))
    child = space.build(space.sample(generator(0)), MacroSkeleton(channels=2, growth=3, classes=7))
    found: list[tuple[int, ...]] = []
    for layer in child.layers:
        layer.register_forward_hook(lambda module, inputs, output: found.append(tuple(output.shape[1:])))
    assert child(torch.randn(2, 3, 9, 12)).logits.shape == (2, 7)
    first, second = (layers // 3, 2 * (layers // 3)) if layers > 2 else (2, 2)
    third = layers - second
    assert found == [(2, 9, 12)] * first + [(6, 5, 6)] * (second - first) + [(18, 3, 3)] * third


def normed(network: MacroNetwork, x: Tensor, key: str) -> Tensor:
    state = network.state_dict()
    return F.batch_norm(x, None, None, state[f"{key}.weight"], state[f"{key}.bias"], training=True)


def branch(network: MacroNetwork, x: Tensor, layer: int) -> Tensor:
    """1x1 convolution, norm, ReLU; 3x3 convolution, norm, ReLU."""
    state, key = network.state_dict(), f"layers.{layer - 1}.edges.{layer}_{layer - 1}.branch_conv_3x3"
    x = normed(network, F.conv2d(x, state[f"{key}.conv_1.weight"]), f"{key}.norm_1").relu()
    return normed(network, F.conv2d(x, state[f"{key}.conv_2.weight"], padding=1), f"{key}.norm_2").relu()


def reduced(network: MacroNetwork, x: Tensor, key: str) -> Tensor:
    """Even pixels and odd pixels, side by side."""
    state = network.state_dict()
    halves = [F.conv2d(x[:, :, i::2, i::2], state[f"reductions.{key}.conv_{i + 1}.weight"]) for i in (0, 1)]
    return normed(network, torch.cat(halves, 1), f"reductions.{key}.norm")


@pytest.mark.parametrize("merge", ["add", "concatenate"])
def test_a_network_is_its_definition(merge: str) -> None:
    """Layers 2 and 3 read layer 1; reductions lie after layers 1 and 2. Layer 3 passes on what it gets."""
    network = supernet(merge).train()
    space, state = SMALL, network.state_dict()
    path = space.path(space.parse("0 0 1 1 1 0 0 0 1 0"))
    stem = normed(network, F.conv2d(images(), state["stem.0.weight"], padding=1), "stem.1")

    def merged(x: Tensor, skips: dict[int, Tensor], layer: int) -> Tensor:
        if merge == "add":
            x = x + sum(skips.values())
        else:
            weights = [state[f"layers.{layer - 1}.projection.weight.{source}"] for source in (*skips, layer)]
            x = F.conv2d(torch.cat([*skips.values(), x], 1).relu(), torch.cat(weights, 1))
        return normed(network, x, f"layers.{layer - 1}.norm")

    one = branch(network, stem, 1)
    one_half = reduced(network, one, "1_1")
    two = merged(branch(network, one_half, 2), {1: one_half}, 2)
    two_quarter, one_quarter = reduced(network, two, "2_2"), reduced(network, one_half, "1_2")
    three = merged(two_quarter, {1: one_quarter}, 3)
    four = merged(branch(network, three, 4), {2: two_quarter}, 4)
    expected = F.linear(four.mean((2, 3)), state["classifier.weight"], state["classifier.bias"])
    torch.testing.assert_close(network(images(), path).logits, expected, rtol=1e-10, atol=1e-10)


def before_norm(network: MacroNetwork, text: str, layer: int) -> tuple[Tensor, dict[int, Tensor]]:
    """What the norm of a layer gets on a path, and the states that skips bring to it."""
    caught: list[Any] = []
    module = network.layers[layer - 1]
    hooks = [
        module.norm.register_forward_pre_hook(lambda norm, inputs: caught.append(inputs[0])),
        module.register_forward_pre_hook(lambda norm, inputs: caught.append(inputs[1])),
    ]
    network(images(), SMALL.path(SMALL.parse(text)))
    for hook in hooks:
        hook.remove()
    return caught[1], caught[0]


def test_a_bit_adds_the_output_of_its_layer() -> None:
    network = supernet("add").eval()
    text = "0 0 0 0 0 0 0 {} {} {}"
    plain, nothing = before_norm(network, text.format(0, 0, 0), 4)
    assert nothing == {}
    _, states = before_norm(network, text.format(1, 1, 1), 4)
    assert list(states) == [1, 2, 3]
    for bits in product((0, 1), repeat=3):
        found, _ = before_norm(network, text.format(*bits), 4)
        expected = plain + sum(bit * states[source] for source, bit in enumerate(bits, start=1))
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("merge", ["add", "concatenate"])
def test_relaxed_skips_weigh_the_states(merge: str) -> None:
    """Half a skip lies in the middle between none and a whole one, before the norm."""
    network = supernet(merge).eval()
    inputs: list[Tensor] = []
    network.layers[3].norm.register_forward_pre_hook(lambda norm, given: inputs.append(given[0]))
    path = SMALL.path(SMALL.parse("0 0 0 0 0 0 0 0 0 0"))
    for present in (0.0, 0.5, 1.0):
        values = path["skips"].values.double()
        values[3:] = torch.tensor([1 - present, present])
        network(images(), {"ops": path["ops"], "skips": EdgeWeights(values)})
    torch.testing.assert_close(inputs[1], (inputs[0] + inputs[2]) / 2, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("mode", ["fan_out", "edge_by_edge"])
@pytest.mark.parametrize("merge", ["add", "concatenate"])
def test_gradients_of_what_was_not_drawn(merge: str, mode: Any) -> None:
    """Of the last layer, all of whose skips are absent; in eval mode, as the batch's mean would take them away."""
    network = supernet(merge, Execution(mode)).eval()
    for inactive in (True, False):
        values = {name: torch.zeros(group.shape, dtype=torch.float64) for name, group in SMALL.groups.items()}
        for x in values.values():
            x[:, 0] = 1.0
            x.requires_grad_()
        drawn = {name: EdgeWeights(x, ((0,),) * len(x), inactive) for name, x in values.items()}
        (network(images(), drawn).logits * torch.arange(10)).sum().backward()
        ops, skips = (x.grad for x in values.values())
        assert ops is not None
        assert (bool(ops[-1, 1] != 0)) is inactive
        assert (skips is not None and bool((skips[-3:, 1] != 0).all())) is inactive


def test_a_path_without_an_operation_is_named() -> None:
    path = SMALL.path(SMALL.sample(generator(0)))
    broken = EdgeWeights(path["ops"].values, ((0,), (), (0,), (0,)))
    with pytest.raises(ValueError, match="No operation of layer 2 runs: the path is broken"):
        supernet("add")(images(), {**path, "ops": broken})


def test_dropout_is_for_training_only() -> None:
    child = SMALL.build(SMALL.sample(generator(0)), MacroSkeleton(channels=4, dropout=0.5)).double()
    assert not torch.equal(child(images()).logits, child(images()).logits)
    child.eval()
    assert torch.equal(child(images()).logits, child(images()).logits)


def test_drop_path_drops_branches_and_keeps_skips() -> None:
    network = supernet("add")
    for module in network.modules():
        if isinstance(module, DropPath):
            module.probability = 1.0 - 1e-12
    total, states = before_norm(network.train(), "0 0 0 0 0 0 0 1 0 0", 4)
    torch.testing.assert_close(total, states[1])


def test_the_supernet_is_fast_in_channels_last() -> None:
    network, formats = supernet("add"), list[bool]()
    for layer in network.layers:
        layer.register_forward_hook(
            lambda module, given, output: formats.append(output.is_contiguous(memory_format=torch.channels_last))
        )
    network(images(), SMALL.path(SMALL.sample(generator(0))))
    assert formats == [True] * 4
