"""What ENAS asks of controllers: shaped logits, and anchors that are pulled to a share of skips."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from helpers.controllers import CHAIN, FAST, KINDS, both, rewarded, strong
from lightning_nas import LogitsController, LstmController, Ppo, Reinforce, SearchSpace
from lightning_nas.architecture.decisions import Anchors
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.config import instantiate
from lightning_nas.runtime.seeding import generator
from lightning_nas.samplers.controllers.lstm import chooses_operation
from lightning_nas.spaces import DartsSpace, NasBench201Space, NasnetSpace

SPACE = NasBench201Space()
# Decisions of the shared draw, by what follows the last dot of their name.
READS = {"input0", "input1", "inputs", "anchors"}


def logits_of(controller: LstmController, genotype: Genotype) -> dict[str, Tensor]:
    """The logits of each decision that counts, on the way along a genotype."""
    choices, state, found = genotype.as_mapping(), controller.start(1), {}
    for position, decision in enumerate(controller.space.decisions):
        if decision.name in choices:
            logits, state = controller.logits(position, state)
            chosen = controller._encoded(decision, [choices[decision.name]], logits.device)
            state, found[decision.name] = controller.feed(position, state, chosen), logits[0].detach()
    return found


@pytest.mark.parametrize("space", [SPACE, NasnetSpace(), DartsSpace(), CHAIN], ids=lambda space: type(space).__name__)
def test_operations_are_all_decisions_but_inputs_and_anchors(space: SearchSpace) -> None:
    for decision in space.decisions:
        assert chooses_operation(decision) == (decision.name.rpartition(".")[2] not in READS), decision.name


@pytest.mark.parametrize("space", [SPACE, NasnetSpace(), CHAIN], ids=lambda space: type(space).__name__)
def test_shaped_logits_are_those_of_the_plain_controller_bent(space: SearchSpace) -> None:
    plain, other = LstmController(space, hidden=6), LstmController(space, 6, 2, temperature=5.0)
    bent = LstmController(space, hidden=6, temperature=5.0, tanh_constant=1.1, op_tanh_reduce=2.5)
    for controller in (plain, other, bent):
        controller.double()
        source = generator(0, "far")
        for parameter in controller.parameters():
            torch.nn.init.uniform_(parameter, -4.0, 4.0, generator=source)
    genotype = space.sample(generator(0, "one"))
    base, cooled, found = (logits_of(controller, genotype) for controller in (plain, other, bent))
    for name, logits in base.items():
        bound = 1.1 if name.rpartition(".")[2] in READS else 1.1 / 2.5
        torch.testing.assert_close(cooled[name], logits / 5.0, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(found[name], bound * torch.tanh(logits / 5.0), rtol=1e-12, atol=1e-12)


def test_shaped_logits_do_not_change_the_beginning() -> None:
    plain, bent = LstmController(CHAIN), LstmController(CHAIN, temperature=5.0, tanh_constant=2.5)
    assert all(torch.equal(one, other) for one, other in zip(plain.parameters(), bent.parameters(), strict=True))


def test_a_bound_keeps_probabilities_from_the_ends() -> None:
    controller = LstmController(SPACE, hidden=6, tanh_constant=1.1, op_tanh_reduce=2.5)
    for parameter in controller.parameters():
        torch.nn.init.uniform_(parameter, -50.0, 50.0, generator=generator(0, "far"))
    genotypes = [SPACE.sample(generator(0, index)) for index in range(20)]
    least = -math.log(1 + 4 * math.exp(2 * 1.1 / 2.5))
    assert controller.score(genotypes, [()] * 20).log_prob.min().item() >= 6 * least - 1e-5


@both
def test_the_skip_penalty_is_the_mean_over_anchors_that_count(kind: str) -> None:
    controller = strong(kind, CHAIN, rule=Reinforce(skip_target=0.3))
    genotypes = [CHAIN.sample(generator(0, index)) for index in range(12)]
    assert {genotype["depth"] for genotype in genotypes} == {"2", "4", "6"}
    given = [("layer.1.anchors",) if index % 2 else () for index in range(12)]
    found, expected = controller.score(genotypes, given).skip_penalty, []
    positions = {d.name: p for p, d in enumerate(CHAIN.decisions) if isinstance(d, Anchors)}
    for genotype, fixed in zip(genotypes, given, strict=True):
        if isinstance(controller, LstmController):
            logits = logits_of(controller, genotype)
        else:
            logits = {name: controller.tables[position].detach() for name, position in positions.items()}
        terms = []
        for name in positions.keys() & genotype.as_mapping().keys() - set(fixed):
            chances = logits[name].sigmoid().tolist()
            terms.append(sum(p * math.log(p / 0.3) + (1 - p) * math.log((1 - p) / 0.7) for p in chances))
        expected.append(sum(terms) / len(terms) if terms else 0.0)
    assert found.tolist() == pytest.approx(expected, rel=1e-9)
    assert 0.0 in expected, "one of them has no free anchors"


@both
@pytest.mark.parametrize("rule", [Reinforce, Ppo])
def test_the_loss_has_the_penalty_times_its_weight(kind: str, rule: Any) -> None:
    losses = {}
    for weight in (0.0, 0.8):
        controller = strong(kind, CHAIN, rule=rule(skip_weight=weight)).float()
        trials = rewarded(controller, [0.2, 0.9, 0.5])
        losses[weight] = next(controller.losses(trials)).item()
        penalty = controller.score([trial.genotype for trial in trials], [()] * 3).skip_penalty
    assert losses[0.8] - losses[0.0] == pytest.approx(0.8 * penalty.mean().item(), abs=1e-5)
    assert penalty.mean() > 0.0


def test_skips_come_to_their_target() -> None:
    controller = LogitsController(CHAIN, Reinforce(skip_target=0.4, skip_weight=0.8), FAST)
    optimizer = FAST.build(list(controller.parameters()))
    for step in range(150):
        # Equal rewards teach nothing else.
        for loss in controller.losses(rewarded(controller, [0.5] * 4, 4 * step)):
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    skips = [t for t, d in zip(controller.tables, CHAIN.decisions, strict=True) if isinstance(d, Anchors)]
    assert torch.cat(list(skips)).sigmoid().tolist() == pytest.approx([0.4] * 15, abs=0.02)


def test_configs_with_and_without_the_options() -> None:
    rule = Ppo(skip_target=0.3, skip_weight=0.8)
    controller = LstmController(CHAIN, rule=rule, temperature=5.0, tanh_constant=1.5, op_tanh_reduce=2.5)
    config = json.loads(json.dumps(controller.config()))
    again = instantiate(config)
    assert again.config() == controller.config()
    assert (again.rule, again.temperature, again.tanh_constant, again.op_tanh_reduce) == (rule, 5.0, 1.5, 2.5)
    # As it was recorded before there were these options.
    for name in ("temperature", "tanh_constant", "op_tanh_reduce"):
        del config["init_args"][name]
    for name in ("skip_target", "skip_weight"):
        del config["init_args"]["rule"]["init_args"][name]
    old = instantiate(config)
    assert (old.temperature, old.tanh_constant, old.op_tanh_reduce, old.rule) == (None, None, 1.0, Ppo())
    assert Ppo(1e-5, 0.95, 0.2, 4) == Ppo(), "positional arguments are as before"
    assert LstmController(CHAIN, 4, 1, 0.1, rule, FAST, None, {0: {"depth": "2"}}).fixed == {0: {"depth": "2"}}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, r"\(temperature=0.0\): give a positive number, or None to leave it out\."),
        ({"temperature": -5.0}, r"\(temperature=-5.0\): give a positive number, or None to leave it out\."),
        ({"tanh_constant": 0.0}, r"\(tanh_constant=0.0\): give a positive number, or None to leave it out\."),
        ({"tanh_constant": -1.1}, r"\(tanh_constant=-1.1\): give a positive number, or None to leave it out\."),
        ({"tanh_constant": 1.1, "op_tanh_reduce": 0.0}, r"\(op_tanh_reduce=0.0\): give a positive number\."),
        ({"tanh_constant": 1.1, "op_tanh_reduce": -1.0}, r"\(op_tanh_reduce=-1.0\): give a positive number\."),
        ({"op_tanh_reduce": 2.5}, r"\(op_tanh_reduce=2.5\) divides tanh_constant: give that too\."),
    ],
)
def test_bad_shapes(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=r"LstmController" + message):
        KINDS["lstm"](SPACE, **arguments)
