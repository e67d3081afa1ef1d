"""Controllers: probabilities against independent code, the baseline, the seed, and the direction of learning."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.controllers import CHAIN, KINDS, SMALL, both, strong
from lightning_nas import LogitsController, LstmController, SearchSpace
from lightning_nas.architecture.decisions import Anchors
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.runtime.seeding import generator
from lightning_nas.samplers.controllers import Controller
from lightning_nas.spaces import EnasMacroSpace, NasBench201Space, NasnetSpace
from lightning_nas.testing import BoringSpace

pytestmark = pytest.mark.slow


def reference(controller: Controller, genotype: Genotype, fixed: tuple[str, ...] = ()) -> float:
    """The log-probability of one genotype, decision after decision, with nothing but tensors and the parameters."""
    choices, total = genotype.as_mapping(), 0.0
    weights = {name: p.detach() for name, p in controller.named_parameters()}
    layers = len(getattr(controller, "cells", ()))
    x = weights.get("first", torch.zeros(0))
    states = [(torch.zeros_like(x), torch.zeros_like(x)) for _ in range(layers)]
    seen: dict[str, Tensor] = {}
    temperature = getattr(controller, "temperature", None) or 1.0
    bound, reduce = getattr(controller, "tanh_constant", None), getattr(controller, "op_tanh_reduce", 1.0)

    def shape(logits: Tensor, reduce: float) -> Tensor:
        return logits / temperature if bound is None else bound / reduce * (logits / temperature).tanh()

    for position, decision in enumerate(controller.space.decisions):
        if decision.name not in choices:
            continue
        h = x
        for layer in range(layers):
            own = [weights[f"cells.{layer}.{name}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            i, f, g, o = (own[0] @ h + own[2] + own[1] @ states[layer][0] + own[3]).chunk(4)
            cell = f.sigmoid() * states[layer][1] + i.sigmoid() * g.tanh()
            h = o.sigmoid() * cell.tanh()
            states[layer] = (h, cell)
        option, kind = choices[decision.name], getattr(controller, "kinds", [""] * 999)[position]
        if isinstance(decision, Anchors):
            bits = [float(bit) for bit in option]
            if layers:
                before = [seen[name] for name in decision.earlier]
                current = weights["current.weight"] @ h
                scores = [
                    weights["strength.weight"] @ (weights["previous.weight"] @ b + current).tanh() for b in before
                ]
                on = shape(torch.cat(scores), 1.0).sigmoid().tolist()
                x = sum((bit * b for bit, b in zip(bits, before, strict=True)), torch.zeros_like(h)) / (1 + sum(bits))
            else:
                on = weights[f"tables.{position}"].sigmoid().tolist()
            step = sum(math.log(p if bit else 1.0 - p) for p, bit in zip(on, bits, strict=True))
        else:
            index = list(decision.options).index(option)
            if layers:
                row = weights[f"heads.{kind}.weight"] @ h + weights[f"heads.{kind}.bias"]
                row = shape(row, 1.0 if "input" in decision.name else reduce)
                x = weights[f"embeddings.{kind}.weight"][index]
            else:
                row = weights[f"tables.{position}"]
            step = row[index].item() - math.log(row.exp().sum().item())
        seen[decision.name] = h
        total += step if decision.name not in fixed else 0.0
    return total


def every(space: SearchSpace, prefix: dict[str, str] | None = None, position: int = 0) -> Iterator[Genotype]:
    """All genotypes."""
    prefix = prefix or {}
    if position == len(space.decisions):
        yield space.genotype(prefix)
        return
    decision = space.decisions[position]
    for option in decision.options if decision.active(prefix) else [None]:
        yield from every(space, prefix if option is None else {**prefix, decision.name: option}, position + 1)


# --- probabilities --------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("space", [NasBench201Space(), CHAIN, NasnetSpace()], ids=["cell", "chain", "nasnet"])
def test_score_is_the_probability_of_the_draw(kind: str, space: SearchSpace) -> None:
    controller = strong(kind, space)
    genotypes = [proposal.genotype for proposal in controller.ask(8, generator=generator(0, "ask"))]
    genotypes += [space.sample(generator(0, "sample", index)) for index in range(12)]
    with torch.no_grad():
        log_prob = controller.score(genotypes, [()] * len(genotypes)).log_prob
        alone = [controller.score([genotype], [()]).log_prob.item() for genotype in genotypes]
    # Both are float64; sums of some dozen terms in another order.
    assert log_prob.tolist() == pytest.approx([reference(controller, genotype) for genotype in genotypes], rel=1e-10)
    assert log_prob.tolist() == pytest.approx(alone, rel=1e-10)
    if space is CHAIN:
        assert {genotype["depth"] for genotype in genotypes} == {"2", "4", "6"}


@both
@pytest.mark.parametrize("space", [BoringSpace(), SMALL], ids=["27", "548"])
def test_probabilities_of_all_genotypes_sum_to_one(kind: str, space: SearchSpace) -> None:
    genotypes = list(every(space))
    assert len(set(genotypes)) == len(genotypes) == space.size
    controller = strong(kind, space)
    log_prob = controller.score(genotypes, [()] * len(genotypes)).log_prob
    assert log_prob.exp().sum().item() == pytest.approx(1.0, abs=1e-12)
    assert log_prob.exp().max().item() > 4 / len(genotypes), "far from uniform"


# The shaped controller draws as the plain one does, so the larger space with the plain one is left for later.
@pytest.mark.parametrize(
    ("space", "kind"),
    [
        *((BoringSpace(), kind) for kind in KINDS),
        *((SMALL, kind) for kind in KINDS if kind != "lstm"),
        pytest.param(SMALL, "lstm", marks=pytest.mark.long),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.size),
)
def test_draws_come_as_often_as_their_probability_says(space: SearchSpace, kind: str) -> None:
    """Within four standard deviations."""
    genotypes, controller = list(every(space)), strong(kind, space)
    log_prob = controller.score(genotypes, [()] * len(genotypes)).log_prob
    drawn = [proposal.genotype for proposal in controller.ask(2000, generator=generator(0, "many"))]
    favourite = int(log_prob.argmax())
    expected = log_prob[favourite].exp().item()
    share = drawn.count(genotypes[favourite]) / len(drawn)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / len(drawn)))


@both
def test_fixed_decisions_do_not_count(kind: str) -> None:
    given = {"depth": "4", "layer.1.filters": "36", "layer.2.anchors": "10"}
    controller = strong(kind, CHAIN, fixed={0: given})
    proposals = controller.ask(6, generator=generator(0, "ask"))
    assert all(given.items() <= proposal.genotype.as_mapping().items() for proposal in proposals)
    assert {proposal.fixed for proposal in proposals} == {tuple(given)}
    genotypes = [proposal.genotype for proposal in proposals]
    mixed = [proposal.fixed if index % 2 else () for index, proposal in enumerate(proposals)]
    found = controller.score(genotypes, mixed).log_prob
    expected = [reference(controller, genotype, fixed) for genotype, fixed in zip(genotypes, mixed, strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-10)
    everything = [tuple(genotype.as_mapping()) for genotype in genotypes]
    assert [value.abs().max().item() for value in controller.score(genotypes, everything)] == [0.0] * 3


def test_entropy_is_that_of_the_decisions() -> None:
    controller = strong("logits", BoringSpace())
    log_prob, entropy, penalty = controller.score(list(every(controller.space)), [()] * 27)
    assert entropy[0].item() == pytest.approx(-(log_prob.exp() * log_prob).sum().item(), rel=1e-12)
    assert penalty.abs().max() == 0.0, "there are no anchors"


def test_attention_knows_what_was_chosen_earlier() -> None:
    controller = strong("lstm", SMALL)
    found = []
    for width, filters, bits in itertools.product("13", "48", ("0", "1")):
        state, on = controller.start(1), None
        choices = {"depth": "3", "layer.0.width": width, "layer.0.filters": filters, "layer.1.anchors": bits}
        for position, decision in enumerate(controller.space.decisions):
            logits, state = controller.logits(position, state)
            on = logits if decision.name == "layer.2.anchors" else on
            option = choices.get(decision.name, decision.options[0])
            state = controller.feed(position, state, controller._encoded(decision, [option], torch.device("cpu")))
        assert on is not None
        found.append(tuple(round(value, 9) for value in on[0].tolist()))
    assert len(set(found)) == 8, "the same layers are read whatever they are"


@pytest.mark.parametrize("make", [LogitsController, LstmController])
def test_a_draw_is_read_by_the_host_at_once(
    make: Callable[[SearchSpace], Controller], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device each reading waits for it."""
    space = EnasMacroSpace(layers=4)
    controller, readings = make(space), 0
    original = torch.Tensor.tolist

    def counting(tensor: torch.Tensor) -> Any:
        nonlocal readings
        readings += 1
        return original(tensor)

    def refused(tensor: torch.Tensor) -> Any:
        raise AssertionError("a reading of its own")

    monkeypatch.setattr(torch.Tensor, "tolist", counting)
    for method in ("item", "__int__", "__float__", "__bool__", "cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, method, refused)
    (proposal,) = controller.ask(1, generator=torch.Generator().manual_seed(0))
    monkeypatch.undo()
    assert proposal.genotype in space
    assert readings == 1
