"""What a controller reads off a decision: which others share its softmax, and whether it chooses an operation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lightning_nas.architecture.decisions import Anchors, Decision
from lightning_nas.functional.policy import shaped
from lightning_nas.samplers.controllers.base import Controller
from lightning_nas.samplers.controllers.rules import PolicyRule
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.optimizer import Adam
from lightning_nas.trials.trial import Fidelity


def sharing_key(decision: Decision) -> str:
    """What decisions that share their softmax have in common; a key that a ModuleDict can hold.

    Example:
        >>> sharing_key(Decision("layer.3.filters", ("24", "36"))), sharing_key(Anchors.over("layer.3.anchors", ("a",)))
        ('layer_n_filters_2', 'anchors')
    """
    if isinstance(decision, Anchors):
        return "anchors"
    pattern = re.sub(r"\.\d+(?=\.)", ".n", decision.name)
    return re.sub(r"\W", "_", f"{pattern}.{len(decision.options)}")


def chooses_operation(decision: Decision) -> bool:
    """Whether a decision says what is computed, not what is read: no anchors, and no name that ends in an input's.

    The last part of the name counts: "normal.2.input0" and "normal.2.inputs" are inputs. All others are operations, for
    there are many names for these: "normal.2.op0", "layer.3.op", the edge "cell.1_0", "layer.3.filters".

    Example:
        >>> names = ("normal.2.input0", "normal.2.inputs", "normal.2.op0", "layer.3.op", "cell.1_0")
        >>> [chooses_operation(Decision(name, ("a", "b"))) for name in names]
        [False, False, True, True, True]
    """
    return not isinstance(decision, Anchors) and not decision.name.rpartition(".")[2].startswith("input")


class LstmState(NamedTuple):
    """Input of the next step (B, hidden), hidden states and cells of the layers, the last hidden state by decision."""

    input: Tensor
    hidden: tuple[Tensor, ...]
    cells: tuple[Tensor, ...]
    seen: dict[str, Tensor]


class LstmController(Controller):
    """An LSTM decides one decision after the other, each knowing those before; anchors attend to earlier layers.

    Decisions of the same kind share embedding and softmax: those whose names differ in a layer's number only, with the
    same options. For anchors, the probability of an earlier layer j is sigmoid(v . tanh(W_prev h_j + W_curr h)), with
    h_j the hidden state at the decision that stands for the layer.

    Logits, those of anchors too, can be shaped as in ENAS (Pham et al., "Efficient Neural Architecture Search via
    Parameter Sharing", ICML 2018): divided by `temperature`, then `tanh_constant * tanh(logits)`; where the decision
    chooses an operation (`chooses_operation`: all but anchors and names that end in "input..."), the constant is
    `tanh_constant / op_tanh_reduce`. Probabilities, entropies and the skip penalty are those of the shaped logits. Left
    out are the biases of the authors' micro search towards separable convolutions (`b_soft`, `b_soft_no_learn`). The
    authors draw a skip with sigmoid(2 x) of its shaped logit x, here it is sigmoid(x); their macro search, with 1.5 for
    operations and skips alike, has the probabilities of `tanh_constant=3.0, op_tanh_reduce=2.0` here.

    Args:
        space: where to search.
        hidden: units of each layer; 35 in the paper, 100 in NASNet's.
        layers: 2 in the paper, 1 in NASNet's.
        init_range: parameters are drawn uniformly from [-init_range, init_range]; 0.08 in the paper, 0.1 in NASNet's.
        rule: how the policy learns.
        optimizer: Adam of the parameters; None is the paper's, with a rate of 6e-4.
        fidelity: as in `Sampler`.
        fixed: as in `Sampler`.
        temperature: above 1 it evens probabilities out; None leaves the logits as they are.
        tanh_constant: bound of the logits; 1.10 in ENAS's micro search, None sets none.
        op_tanh_reduce: how many times smaller the bound is for operations; 2.5 in ENAS's micro search.

    Raises:
        ValueError: a number that is not positive, or an `op_tanh_reduce` without a `tanh_constant`.

    Example:
        >>> from lightning_nas.spaces import NasBench201Space
        >>> controller = LstmController(NasBench201Space())
        >>> (proposal,) = controller.ask(1, generator=torch.Generator().manual_seed(0))
        >>> log_prob, entropy, _ = controller.score([proposal.genotype], [()])
        >>> bool(log_prob < 0), round(entropy.item() / (6 * torch.log(torch.tensor(5.0)).item()), 2)
        (True, 1.0)
    """

    def __init__(
        self,
        space: SearchSpace,
        hidden: int = 35,
        layers: int = 2,
        init_range: float = 0.08,
        rule: PolicyRule | None = None,
        optimizer: Adam | None = None,
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
        temperature: float | None = None,
        tanh_constant: float | None = None,
        op_tanh_reduce: float = 1.0,
    ) -> None:
        super().__init__(space, rule, optimizer, fidelity, fixed)
        _check_positive(hidden=hidden, layers=layers, init_range=init_range)
        _check_positive(temperature=temperature, tanh_constant=tanh_constant, op_tanh_reduce=op_tanh_reduce)
        if op_tanh_reduce != 1.0 and tanh_constant is None:
            raise ValueError(f"LstmController(op_tanh_reduce={op_tanh_reduce}) divides tanh_constant: give that too.")
        self.temperature, self.tanh_constant, self.op_tanh_reduce = temperature, tanh_constant, op_tanh_reduce
        self.kinds = [sharing_key(decision) for decision in space.decisions]
        self.referred = {name for d in space.decisions if isinstance(d, Anchors) for name in d.earlier}
        self._add_networks(hidden, layers)
        self.initialize(init_range)

    def _add_networks(self, hidden: int, layers: int) -> None:
        self.cells = nn.ModuleList(nn.LSTMCell(hidden, hidden) for _ in range(layers))
        self.first = nn.Parameter(torch.empty(hidden))
        choices = {
            kind: len(d.options) for kind, d in zip(self.kinds, self.space.decisions, strict=True) if kind != "anchors"
        }
        self.embeddings = nn.ModuleDict({kind: nn.Embedding(size, hidden) for kind, size in choices.items()})
        self.heads = nn.ModuleDict({kind: nn.Linear(hidden, size) for kind, size in choices.items()})
        if "anchors" in self.kinds:
            self.previous = nn.Linear(hidden, hidden, bias=False)
            self.current = nn.Linear(hidden, hidden, bias=False)
            self.strength = nn.Linear(hidden, 1, bias=False)

    def start(self, batch: int) -> LstmState:
        zeros = self.first.new_zeros(batch, len(self.first))
        return LstmState(self.first.expand(batch, -1), (zeros,) * len(self.cells), (zeros,) * len(self.cells), {})

    def logits(self, position: int, state: LstmState) -> tuple[Tensor, LstmState]:
        x, hidden, memory = state.input, [], []
        for layer, (h, c) in zip(self.cells, zip(state.hidden, state.cells, strict=True), strict=True):
            x, cell = layer(x, (h, c))
            hidden.append(x)
            memory.append(cell)
        behind = LstmState(state.input, tuple(hidden), tuple(memory), state.seen)
        decision = self.space.decisions[position]
        if isinstance(decision, Anchors):
            earlier_BLH = torch.stack([state.seen[name] for name in decision.earlier], 1)
            energy_BLH = torch.tanh(self.previous(earlier_BLH) + self.current(x)[:, None])
            return shaped(self.strength(energy_BLH)[..., 0], self.temperature, self.tanh_constant), behind
        bound = self.tanh_constant
        if bound is not None and chooses_operation(decision):
            bound = bound / self.op_tanh_reduce
        return shaped(self.heads[self.kinds[position]](x), self.temperature, bound), behind

    def feed(self, position: int, state: LstmState, chosen: Tensor) -> LstmState:
        decision = self.space.decisions[position]
        if isinstance(decision, Anchors):
            earlier_BLH = torch.stack([state.seen[name] for name in decision.earlier], 1)
            weights_BL1 = chosen.to(earlier_BLH.dtype)[..., None]
            following = (earlier_BLH * weights_BL1).sum(1) / (1.0 + weights_BL1.sum(1))
        else:
            following = self.embeddings[self.kinds[position]](chosen)
        seen = {**state.seen, decision.name: state.hidden[-1]} if decision.name in self.referred else state.seen
        return LstmState(following, state.hidden, state.cells, seen)

    def keep(self, active: Tensor, new: LstmState, old: LstmState) -> LstmState:
        rows = active[:, None]
        hidden = tuple(torch.where(rows, n, o) for n, o in zip(new.hidden, old.hidden, strict=True))
        cells = tuple(torch.where(rows, n, o) for n, o in zip(new.cells, old.cells, strict=True))
        return LstmState(torch.where(rows, new.input, old.input), hidden, cells, new.seen)


def _check_positive(**numbers: float | None) -> None:
    for name, value in numbers.items():
        if value is not None and not value > 0:
            remedy = ", or None to leave it out" if name in ("temperature", "tanh_constant") else ""
            raise ValueError(f"LstmController({name}={value}): give a positive number{remedy}.")
