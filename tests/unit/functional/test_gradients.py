"""The second-order architecture gradient against exact double backward, in float64.

Judged is the correction term alone: the total minus the first-order part dL_val/dalpha at the looked-ahead weights. On
a smooth network its error falls with epsilon squared, and the authors' epsilon of 0.01 is small enough. With ReLU and
max pooling a difference that steps over a kink sees a jump divided by the step, which double backward does not see:
epsilon has to be so small that no kink lies between, which float64 allows (rounding then costs 1e-15 / epsilon).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from lightning_nas import CellSkeleton, DartsSearch, EdgeWeights, Sgd
from lightning_nas.functional.gradients import SgdStep, unrolled_gradient
from lightning_nas.spaces import DartsSpace
from lightning_nas.testing import BoringData
from reference.unrolled import unrolled_gradient as exact_gradient

pytestmark = pytest.mark.slow

LR, MOMENTUM, DECAY = 0.025, 0.9, 3e-2
BOUND = 1e-3
SMALL = 1e-9
Batch = tuple[Tensor, Tensor]
Loss = Callable[[list[Tensor], list[Tensor], Batch], Tensor]


class Problem(NamedTuple):
    weights: list[Tensor]
    alphas: list[Tensor]
    loss: Loss
    epsilon: float


def smooth() -> Problem:
    """Two layers, each a mixture of three smooth functions."""
    shapes = ((6, 5), (6,), (3, 6), (3,))
    weights = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    alphas = [torch.randn(2, 3, dtype=torch.float64, requires_grad=True)]

    def mix(x: Tensor, row: Tensor) -> Tensor:
        return row[0] * torch.tanh(x) + row[1] * torch.sin(x) + row[2] * x

    def loss(w: list[Tensor], a: list[Tensor], batch: Batch) -> Tensor:
        first, second = a[0].softmax(-1)
        hidden = mix(F.linear(batch[0].flatten(1)[:, :5], w[0], w[1]), first)
        return F.cross_entropy(mix(F.linear(hidden, w[2], w[3]), second), batch[1] % 3)

    return Problem(weights, alphas, loss, epsilon=0.01)


def darts() -> Problem:
    """A DARTS supernet with all its ReLUs and max pools."""
    space = DartsSpace(nodes=2)
    supernet = space.build(None, CellSkeleton(cells=3, channels=4)).double()
    names = [name for name, _ in supernet.named_parameters()]
    alphas = [torch.randn(g.shape, dtype=torch.float64, requires_grad=True) for g in space.groups.values()]

    def loss(w: list[Tensor], a: list[Tensor], batch: Batch) -> Tensor:
        architecture = {name: EdgeWeights(alpha.softmax(-1)) for name, alpha in zip(space.groups, a, strict=True)}
        output = functional_call(supernet, dict(zip(names, w, strict=True)), (batch[0], architecture))
        return F.cross_entropy(output.logits, batch[1])

    return Problem(list(supernet.parameters()), alphas, loss, epsilon=SMALL)


PROBLEMS = {"smooth": smooth, "darts": darts}


def batches() -> Iterator[Batch]:
    while True:
        yield torch.randn(4, 3, 12, 12, dtype=torch.float64), torch.randint(10, (4,))


def flat(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])


def exact(loss: Any, weights: Any, alphas: Any, train: Any, val: Any, step: SgdStep) -> tuple[Tensor, Tensor]:
    """Total and first-order part. Nesterov's step is one of rate lr (1 + m) whose buffers count m^2 / (1 + m)."""
    m = step.momentum
    lr, factor = (step.lr * (1 + m), m * m / (1 + m)) if step.nesterov else (step.lr, m)
    buffers = [torch.zeros_like(w) if b is None else b for w, b in zip(weights, step.buffers, strict=True)]
    total, first = exact_gradient(
        loss, weights, alphas, train, val, lr=lr, momentum=factor, weight_decay=step.weight_decay, buffers=buffers
    )
    return flat(total), flat(first)


def run(problem: Problem, nesterov: bool, steps: int, epsilon: float) -> Iterator[tuple[Tensor, Tensor]]:
    """Corrections found and exact, at each of several weight steps of a real optimizer."""
    weights, alphas, loss, _ = problem
    optimizer = torch.optim.SGD(weights, LR, momentum=MOMENTUM, weight_decay=DECAY, nesterov=nesterov)
    source = batches()
    for _ in range(steps):
        train, val = next(source), next(source)
        buffers = [optimizer.state[weight].get("momentum_buffer") for weight in weights]
        step = SgdStep(LR, MOMENTUM, DECAY, nesterov, buffers)
        total, first = exact(loss, weights, alphas, train, val, step)
        _, found = unrolled_gradient(
            lambda: loss(weights, alphas, train),  # noqa: B023 - called at once
            lambda: loss(weights, alphas, val),  # noqa: B023
            weights,
            alphas,
            step,
            epsilon,
        )
        yield flat(found) - first, total - first
        for weight, gradient in zip(weights, torch.autograd.grad(loss(weights, alphas, train), weights), strict=True):
            weight.grad = gradient
        optimizer.step()


def error(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_correction_is_exact(name: str, nesterov: bool) -> None:
    problem = PROBLEMS[name]()
    for found, expected in run(problem, nesterov, steps=3, epsilon=problem.epsilon):
        assert error(found, expected) < BOUND
        # What two public ports compute: (plus - minus) / 2 * epsilon. The bound must tell it from the right one.
        assert error(found * problem.epsilon**2, expected) > 100 * BOUND
        assert error(torch.zeros_like(found), expected) > 100 * BOUND


def test_error_falls_with_epsilon_squared_where_the_network_is_smooth() -> None:
    errors = []
    for epsilon in (0.1, 0.01, 0.001):
        torch.manual_seed(0)
        ((found, expected),) = run(smooth(), False, steps=1, epsilon=epsilon)
        errors.append(error(found, expected))
    assert 50 < errors[0] / errors[1] < 200
    assert 50 < errors[1] / errors[2] < 200


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_direction_is_the_step_of_the_optimizer(nesterov: bool) -> None:
    weights, alphas, loss, _ = smooth()
    optimizer = torch.optim.SGD(weights, LR, momentum=MOMENTUM, weight_decay=DECAY, nesterov=nesterov)
    source = batches()
    for _ in range(3):
        gradients = list(torch.autograd.grad(loss(weights, alphas, next(source)), weights))
        buffers = [optimizer.state[weight].get("momentum_buffer") for weight in weights]
        direction = SgdStep(LR, MOMENTUM, DECAY, nesterov, buffers).direction([w.detach() for w in weights], gradients)
        expected = flat(weights).detach() - LR * direction
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.grad = gradient
        optimizer.step()
        torch.testing.assert_close(flat(weights).detach(), expected, rtol=1e-12, atol=1e-12)


def test_plain_step_has_no_buffers() -> None:
    weights, gradients = [torch.ones(2)], [torch.full((2,), 3.0)]
    assert torch.equal(SgdStep(0.1, weight_decay=0.5).direction(weights, gradients), torch.full((2,), 3.5))


def test_weights_are_put_back_bit_for_bit() -> None:
    weights, alphas, loss, _ = darts()
    before = [weight.detach().clone() for weight in weights]
    source = batches()
    train, val = next(source), next(source)
    step = SgdStep(LR, MOMENTUM, DECAY, buffers=[torch.randn_like(weight) for weight in weights])
    unrolled_gradient(lambda: loss(weights, alphas, train), lambda: loss(weights, alphas, val), weights, alphas, step)
    assert all(torch.equal(old, new) for old, new in zip(before, weights, strict=True))

    def broken() -> Tensor:
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        unrolled_gradient(lambda: loss(weights, alphas, train), broken, weights, alphas, step)
    assert all(torch.equal(old, new) for old, new in zip(before, weights, strict=True))


def test_no_gradient_of_the_validation_loss_means_no_correction() -> None:
    weight, alpha = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    loss, gradients = unrolled_gradient(
        lambda: (weight * alpha).sum(), lambda: (alpha**2).sum(), [weight], [alpha], SgdStep(0.1)
    )
    assert float(loss) == 2.0
    assert torch.equal(gradients[0], torch.full((2,), 2.0))


class Watch(L.Callback):
    """Holds the search's own architecture gradient against the exact one, at every batch."""

    def __init__(self) -> None:
        self.errors: list[float] = []

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        network: nn.Module = pl_module.supernet
        names, weights = zip(*network.named_parameters(), strict=True)
        alphas = list(pl_module.architecture.parameters())
        kept = {name: buffer.clone() for name, buffer in network.named_buffers()}

        def loss(w: list[Tensor], a: list[Tensor], half: Batch) -> Tensor:
            rows = {n: EdgeWeights(x.softmax(-1)) for n, x in zip(pl_module.space.groups, a, strict=True)}
            output = functional_call(network, dict(zip(names, w, strict=True)), (half[0], rows))
            return F.cross_entropy(output.logits, half[1])

        group = trainer.optimizers[0].param_groups[0]
        buffers = [trainer.optimizers[0].state[weight].get("momentum_buffer") for weight in weights]
        step = SgdStep(group["lr"], group["momentum"], group["weight_decay"], group["nesterov"], buffers)
        self.expected, self.first = exact(loss, weights, alphas, batch["train"], batch["val"], step)
        for name, buffer in network.named_buffers():
            buffer.copy_(kept[name])

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        found = flat([alpha.grad for alpha in pl_module.architecture.parameters()])
        self.errors.append(error(found - self.first, self.expected - self.first))


@pytest.mark.parametrize("nesterov", [False, True], ids=["momentum", "nesterov"])
def test_the_search_uses_it(nesterov: bool, trainer_kwargs: dict[str, Any]) -> None:
    watch = Watch()
    search = DartsSearch(
        DartsSpace(nodes=2),
        CellSkeleton(cells=3, channels=4),
        order=2,
        optimizer=Sgd(lr=LR, momentum=MOMENTUM, weight_decay=DECAY, nesterov=nesterov),
        epsilon=SMALL,
    )
    trainer = L.Trainer(max_epochs=2, precision="64-true", callbacks=[watch], limit_val_batches=0, **trainer_kwargs)
    trainer.fit(search, datamodule=BoringData(shape=(3, 12, 12), batches=1))
    assert len(watch.errors) == 2, "with and without momentum, and at two learning rates"
    assert max(watch.errors) < BOUND
