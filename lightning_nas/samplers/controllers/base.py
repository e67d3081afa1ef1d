"""Choices that are drawn on a device, and read by the host together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_nas.architecture.decisions import Anchors, Decision
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.functional.policy import bernoulli, categorical, draw_bits, draw_option, skip_divergence
from lightning_nas.runtime.memory import moved, sent
from lightning_nas.runtime.seeding import current_seed, generator
from lightning_nas.samplers import Sampler
from lightning_nas.samplers.controllers.rules import PolicyRule, Reinforce, Scores
from lightning_nas.spaces.base import SearchSpace
from lightning_nas.training.optimizer import Adam
from lightning_nas.trials.trial import Fidelity, Proposal, Trial


class PendingChoices:
    """The choices of one genotype, which stay on the device until they are asked for.

    Example:
        >>> drawn = PendingChoices()
        >>> drawn.add(Decision("op", ("skip", "conv")), torch.tensor([1]))
        >>> drawn.add(Anchors.over("anchors", ("a", "b")), torch.tensor([[True, False]]))
        >>> drawn.choices()
        {'op': 'conv', 'anchors': '10'}
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._waiting: list[tuple[Decision, Tensor]] = []

    def add(self, decision: Decision, chosen: Tensor) -> None:
        """Keep an index (1,), or for anchors bits (1, L)."""
        self._waiting.append((decision, chosen))

    def choices(self) -> dict[str, str]:
        """Option by decision; all that is not known yet comes in one copy."""
        if self._waiting:
            numbers = iter(torch.cat([chosen.reshape(-1).long() for _, chosen in self._waiting]).tolist())
            for decision, chosen in self._waiting:
                found = [next(numbers) for _ in range(chosen.numel())]
                anchors = isinstance(decision, Anchors)
                self._known[decision.name] = "".join(map(str, found)) if anchors else decision.options[found[0]]
            self._waiting = []
        return self._known


class Controller(Sampler):
    """A policy over the decisions of a space, which learns from rewards.

    A subclass is a policy: `start`, `logits` and `feed`. Decisions come in the space's order; one that does not count,
    or is given, is no choice and teaches nothing. Log-probabilities are computed anew with the present policy.

    A failed trial teaches nothing. A refused one, over a limit, counts with the worst reward so far, so that the policy
    learns to keep the limits; before there is any reward it teaches nothing either.

    Args:
        space: where to search.
        rule: how the policy learns.
        optimizer: Adam of the policy's parameters.
        fidelity: as in `Sampler`.
        fixed: as in `Sampler`.
    """

    def __init__(
        self,
        space: SearchSpace,
        rule: PolicyRule | None = None,
        optimizer: Adam | None = None,
        fidelity: Fidelity | None = None,
        fixed: Mapping[int, Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(space, fidelity, fixed)
        self.rule = rule or Reinforce()
        self.optimizer: Adam = optimizer or Adam(lr=6e-4, betas=(0.9, 0.999), weight_decay=0.0)
        self.positions = {decision.name: position for position, decision in enumerate(space.decisions)}
        self._average, self._weight = 0.0, 0.0
        self._worst: float | None = None
        self._entropy = 0.0

    def initialize(self, bound: float) -> None:
        """Draw all parameters uniformly from [-bound, bound], a function of the run's seed alone."""
        source = generator(current_seed(), "controller")
        for parameter in self.parameters():
            torch.nn.init.uniform_(parameter, -bound, bound, generator=source)

    @abstractmethod
    def start(self, batch: int) -> Any:
        """The policy's state before the first decision, for `batch` genotypes."""

    @abstractmethod
    def logits(self, position: int, state: Any) -> tuple[Tensor, Any]:
        """Logits of one decision, (B, options) or for anchors (B, earlier layers), and the state behind them."""

    @abstractmethod
    def feed(self, position: int, state: Any, chosen: Tensor) -> Any:
        """The state after a choice: indices (B,), or for anchors bits (B, earlier layers)."""

    def keep(self, active: Tensor, new: Any, old: Any) -> Any:  # noqa: ARG002 - a policy without state has nothing to keep
        """The new state for those of the batch for which a decision counts (B,) bool, the old one for the others."""
        return new

    @torch.no_grad()
    def propose(self, trial: int, generator: torch.Generator) -> Proposal:
        """A genotype drawn from the policy; on a device in one copy to the host, unless decisions have conditions."""
        given, drawn = self.fixed_choices(trial), PendingChoices()
        state = self.start(1)
        for position, decision in enumerate(self.space.decisions):
            if decision.condition is not None and not decision.active(drawn.choices()):
                continue
            logits, state = self.logits(position, state)
            if decision.name in given:
                chosen = self._encoded(decision, [given[decision.name]], logits.device)
            else:
                chosen = (draw_bits if isinstance(decision, Anchors) else draw_option)(logits, generator)
            drawn.add(decision, chosen)
            state = self.feed(position, state, chosen)
        return Proposal(self.space.genotype(drawn.choices()), self.fidelity, fixed=tuple(given))

    @staticmethod
    def _encoded(decision: Decision, options: Sequence[str | None], device: torch.device) -> Tensor:
        """Indices (B,) int64, or for anchors bits (B, L) bool; None, where the decision does not count, is first."""
        known = [decision.options[0] if option is None else option for option in options]
        if isinstance(decision, Anchors):
            return sent([[bit == "1" for bit in option] for option in known], device)
        return sent([decision.options.index(option) for option in known], device)

    def score(self, genotypes: Sequence[Genotype], fixed: Sequence[Sequence[str]]) -> Scores:
        """Log-probability, entropy and skip penalty of genotypes under the present policy.

        Args:
            genotypes: of the space.
            fixed: for each, the decisions that were given and do not count.
        """
        choices = [genotype.as_mapping() for genotype in genotypes]
        device = next(self.parameters()).device
        log_prob = entropy = penalty = anchors = torch.zeros(len(genotypes), device=device)
        state = self.start(len(genotypes))
        for position, decision in enumerate(self.space.decisions):
            options = [chosen.get(decision.name) for chosen in choices]
            if not any(options):
                continue
            logits, behind = self.logits(position, state)
            chosen = self._encoded(decision, options, logits.device)
            one, two = (bernoulli if isinstance(decision, Anchors) else categorical)(logits, chosen)
            active = [option is not None for option in options]
            free = [decision.name not in given for given in fixed]
            counts = sent([float(a and f) for a, f in zip(active, free, strict=True)], device).to(one.dtype)
            log_prob, entropy = log_prob + counts * one, entropy + counts * two
            if isinstance(decision, Anchors):
                penalty = penalty + counts * skip_divergence(logits, self.rule.skip_target)
                anchors = anchors + counts
            following = self.feed(position, behind, chosen)
            state = following if all(active) else self.keep(sent(active, device), following, state)
        return Scores(log_prob, entropy, penalty / anchors.clamp(min=1.0))

    @property
    def baseline(self) -> float | None:
        """Moving average of the rewards so far, each new one with 1 - decay, without bias; None before the first."""
        return self._average / self._weight if self._weight else None

    def losses(self, trials: Sequence[Trial]) -> Iterator[Tensor]:
        """Those of the rule on the trials that did not fail."""
        taught = self._taught(trials)
        if not taught:
            return
        complete, rewards = [trial for trial, _ in taught], torch.tensor([reward for _, reward in taught])
        baseline = float(rewards.mean()) if self.baseline is None else self.baseline
        advantage = moved(rewards - baseline, next(self.parameters()).device)

        def score() -> Scores:
            scores = self.score([t.genotype for t in complete], [t.proposal.fixed for t in complete])
            self._entropy = float(scores.entropy.detach().mean())
            return scores

        yield from self.rule.losses(score, advantage)

    def _taught(self, trials: Sequence[Trial]) -> list[tuple[Trial, float]]:
        """Trials that count, each with its reward, or where it was refused the worst so far."""
        worst = self._worst_of(trials)
        rewards = [(trial, worst if trial.status == "refused" else trial.reward) for trial in trials]
        return [(trial, float(reward)) for trial, reward in rewards if reward is not None]

    def _worst_of(self, trials: Sequence[Trial]) -> float | None:
        """The worst reward so far, that of these trials among them."""
        rewards = [reward for reward in (self._worst, *(trial.reward for trial in trials)) if reward is not None]
        return min(rewards, default=None)

    def tell(self, trials: Sequence[Trial]) -> None:
        """The baseline moves to the rewards, one after the other."""
        super().tell(trials)
        decay = self.rule.baseline_decay
        taught, self._worst = self._taught(trials), self._worst_of(trials)
        for _, reward in taught:
            self._average = decay * self._average + (1.0 - decay) * reward
            self._weight = decay * self._weight + (1.0 - decay)

    def figures(self) -> dict[str, float]:
        """Baseline, and the entropy of the round's genotypes in nats."""
        return {"baseline": self.baseline or 0.0, "entropy": self._entropy}

    def memory(self) -> dict[str, Any]:
        """The baseline besides."""
        own = {"average": self._average, "weight": self._weight, "worst": self._worst, "entropy": self._entropy}
        return {**super().memory(), **own}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` gave."""
        super().remember(memory)
        self._average, self._weight, self._entropy = memory["average"], memory["weight"], memory["entropy"]
        self._worst = memory.get("worst")  # earlier checkpoints know of none
