"""What every search space must keep."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lightning_nas.architecture.decisions import Decision
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.config import instantiate
from lightning_nas.networks.skeleton import NetworkOutput, Skeleton
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces.base import SearchSpace

ENUMERABLE = 2000
"""Spaces of at most so many genotypes are enumerated."""


def sampled(space: SearchSpace, count: int) -> list[Genotype]:
    """`count` genotypes, each from a seed of its own."""
    return [space.sample(generator(0, "contract", index)) for index in range(count)]


def random_images(shape: tuple[int, ...], count: int = 4) -> Tensor:
    """Images (count, C, H, W) in float64, the same at every call."""
    return torch.randn(count, *shape, generator=generator(0, "images"), dtype=torch.float64)


def enumerated(decisions: Sequence[Decision], prefix: dict[str, str] | None = None) -> Iterator[dict[str, str]]:
    """Every combination of the options of active decisions."""
    choices = prefix or {}
    if not decisions:
        yield choices
        return
    first, rest = decisions[0], decisions[1:]
    for option in first.options if first.active(choices) else (None,):
        yield from enumerated(rest, choices if option is None else {**choices, first.name: option})


class SpaceContract:
    """Tests of a search space. Inherit it in a class whose name begins with `Test`; override `space` and `skeleton`."""

    image_shape: tuple[int, int, int] = (3, 12, 12)
    """(C, H, W) of the images that the networks are run on."""

    def space(self) -> SearchSpace:
        """The space under test."""
        raise NotImplementedError("Override space() to give the space under test.")

    def skeleton(self) -> Skeleton:
        """A small skeleton for `image_shape`."""
        raise NotImplementedError("Override skeleton() to give a small skeleton for image_shape.")

    def test_samples_are_in_the_space(self) -> None:
        space = self.space()
        for genotype in sampled(space, 20):
            assert genotype in space
            assert [name for name, _ in genotype] == [d.name for d in space.decisions if d.name in dict(genotype)]

    def test_samples_depend_on_the_seed_alone(self) -> None:
        samples = sampled(self.space(), 20)
        torch.manual_seed(1)
        assert sampled(self.space(), 20) == samples
        size = self.space().size
        assert len(set(samples)) >= min(size, max(2, min(size, 20) // 2)), "different seeds give the same samples"

    def test_a_mutation_is_a_neighbour(self) -> None:
        space = self.space()
        for index, genotype in enumerate(sampled(space, 20)):
            mutated = space.mutate(genotype, generator(0, "mutate", index))
            assert mutated == space.mutate(genotype, generator(0, "mutate", index))
            assert mutated in space
            old, new = dict(genotype), dict(mutated)
            changed = [name for name in old.keys() & new.keys() if old[name] != new[name]]
            assert len(changed) == 1, f"decisions changed: {changed}"

    def test_size_counts_the_genotypes(self) -> None:
        space = self.space()
        assert space.size >= 1
        if space.size <= ENUMERABLE:
            genotypes = {space.genotype(choices) for choices in enumerated(space.decisions)}
            assert len(genotypes) == space.size

    def test_genotypes_survive_files(self, tmp_path: Path) -> None:
        for genotype in sampled(self.space(), 3):
            assert Genotype.from_dict(json.loads(json.dumps(genotype.to_dict()))) == genotype
            for suffix in ("yaml", "json"):
                genotype.save(tmp_path / f"genotype.{suffix}")
                assert Genotype.load(tmp_path / f"genotype.{suffix}") == genotype

    def test_check_names_what_is_wrong(self) -> None:
        space = self.space()
        (genotype,) = sampled(space, 1)
        *others, (last, _) = genotype.choices
        wrong = {
            f"is one of OtherSpace, not of {genotype.space}": Genotype("OtherSpace", genotype.choices),
            f"misses the decision {last!r}": Genotype(genotype.space, tuple(others)),
            f"chooses {last}='no_such_option'": Genotype(genotype.space, (*others, (last, "no_such_option"))),
            "decides 'no_such_decision'": Genotype(genotype.space, (*genotype.choices, ("no_such_decision", "x"))),
        }
        for text, broken in wrong.items():
            assert broken not in space
            with pytest.raises(ValueError, match=re.escape(text)):
                space.check(broken)

    def test_text_round_trip(self) -> None:
        """Of spaces that have a text format."""
        space = self.space()
        if type(space).parse is not SearchSpace.parse:
            for genotype in sampled(space, 20):
                assert space.parse(space.format(genotype)) == genotype

    def test_config_round_trip(self) -> None:
        space = self.space()
        again = instantiate(json.loads(json.dumps(space.config())))
        assert type(again) is type(space)
        assert again.decisions == space.decisions
        assert again.config() == space.config()

    def test_children_are_built_on_the_meta_device(self) -> None:
        (genotype,) = sampled(self.space(), 1)
        with torch.device("meta"):
            child = self.space().build(genotype, self.skeleton())
        assert all(tensor.is_meta for tensor in child.state_dict().values())

    def test_a_child_trains(self) -> None:
        (genotype,) = sampled(self.space(), 1)
        child = self.space().build(genotype, self.skeleton()).double()
        images, labels = random_images(self.image_shape), torch.arange(4) % self.skeleton().classes
        output = child(images)
        assert isinstance(output, NetworkOutput)
        assert output.logits.shape == (4, self.skeleton().classes)
        torch.autograd.backward(F.cross_entropy(output.logits, labels))
        gradients = [weight.grad for weight in child.parameters() if weight.grad is not None]
        assert gradients
        assert all(bool(gradient.isfinite().all()) for gradient in gradients)
        before = [weight.detach().clone() for weight in child.parameters()]
        torch.optim.SGD(child.parameters(), 0.1).step()
        assert any(not torch.equal(old, new) for old, new in zip(before, child.parameters(), strict=True))
        assert child.eval()(images).auxiliary is None, "the auxiliary head is for training only"
