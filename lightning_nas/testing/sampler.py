"""What every sampler must keep: asking has no effect, and all that was learned is in the state."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch

from lightning_nas.config import instantiate
from lightning_nas.runtime.seeding import derive_seed, generator
from lightning_nas.samplers import Sampler
from lightning_nas.trials.trial import Proposal, Trial


def trials_of(proposals: Sequence[Proposal], first: int, failed: int | None = None) -> list[Trial]:
    """Made-up results of a round; the one at position `failed` has failed. Metrics are `val/accuracy` and `params`."""
    found = []
    for index, proposal in enumerate(proposals):
        reward, params = (
            derive_seed(purpose, *(option for _, option in proposal.genotype)) % 1000 / 1000 for purpose in (0, 1)
        )
        broken = index == failed
        found.append(
            Trial(
                first + index,
                proposal,
                seed=index,
                status="failed" if broken else "complete",
                reward=None if broken else reward,
                seconds=1.0,
                metrics={} if broken else {"val/accuracy": reward, "params": params},
                reason="broken" if broken else "",
            )
        )
    return found


class SamplerContract:
    """Tests of a sampler. Inherit it in a class whose name begins with `Test`, and override `sampler`."""

    round_size: int = 4
    """Children of a round."""

    def sampler(self) -> Sampler:
        """A fresh sampler on a space of at least a hundred genotypes."""
        raise NotImplementedError("Override sampler() to give a sampler.")

    def play(self, sampler: Sampler, rounds: int, begin: int = 0) -> list[Proposal]:
        """Some rounds of asking, learning and telling; a trial in each has failed. Gives all proposals."""
        found: list[Proposal] = []
        parameters = [parameter for parameter in sampler.parameters() if parameter.requires_grad]
        optimizer = None if sampler.optimizer is None else sampler.optimizer.build(parameters)
        for number in range(begin, begin + rounds):
            proposals = sampler.ask(self.round_size, generator=generator(0, "ask", number))
            trials = trials_of(proposals, self.round_size * number, failed=number % self.round_size)
            for loss in sampler.losses(trials):
                assert optimizer is not None, "a sampler with losses needs an optimizer"
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
            sampler.tell(trials)
            found += proposals
        return found

    def test_proposals_are_of_the_space(self) -> None:
        sampler = self.sampler()
        for proposal in self.play(sampler, 4):
            assert proposal.genotype in sampler.space
        assert sampler.told == 4 * self.round_size

    def test_asking_has_no_effect(self) -> None:
        sampler = self.sampler()
        self.play(sampler, 3)
        before = {key: value.clone() for key, value in sampler.state_dict().items()}
        random = torch.get_rng_state()
        first = sampler.ask(self.round_size, generator=generator(0, "again"))
        assert sampler.ask(self.round_size, generator=generator(0, "again")) == first
        assert torch.equal(random, torch.get_rng_state()), "ask() used global random numbers"
        for key, value in sampler.state_dict().items():
            assert torch.equal(value, before[key]), key

    def test_the_state_holds_all_that_was_learned(self) -> None:
        one, other = self.sampler(), self.sampler()
        self.play(one, 3)
        state = {key: value.clone() for key, value in one.state_dict().items()}
        assert all(isinstance(value, torch.Tensor) for value in state.values())
        other.load_state_dict(state)
        assert other.told == one.told
        ask = [s.ask(self.round_size, generator=generator(0, "next")) for s in (one, other)]
        assert ask[0] == ask[1]

    def test_a_round_of_failures_is_survived(self) -> None:
        sampler = self.sampler()
        proposals = sampler.ask(1, generator=generator(0, "ask"))
        trials = trials_of(proposals, 0, failed=0)
        assert list(sampler.losses(trials)) == []
        sampler.tell(trials)
        assert len(sampler.ask(2, generator=generator(0, "next"))) == 2

    def test_config_round_trip(self) -> None:
        sampler = self.sampler()
        again = instantiate(json.loads(json.dumps(sampler.config())))
        assert type(again) is type(sampler)
        assert again.config() == sampler.config()
        ask = [s.ask(self.round_size, generator=generator(0, "ask")) for s in (sampler, again)]
        assert ask[0] == ask[1]
