"""Latencies: measured ones, sums of a table that is kept in a file, and those of a benchmark's CSV file."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lightning_nas.costs.measured
from helpers.supernet_cases import FINAL_NETWORKS as CASES
from lightning_nas import (
    CellSkeleton,
    Cost,
    CsvLatency,
    Latency,
    MeasuredLatency,
    Skeleton,
    SupernetSpace,
    TableLatency,
)
from lightning_nas.config import instantiate
from lightning_nas.costs import measured as stopwatch
from lightning_nas.costs import table_measuring
from lightning_nas.costs.latency_files import LatencyTable
from lightning_nas.costs.measured import latencies
from lightning_nas.costs.networks import running_child
from lightning_nas.costs.table_measuring import fixed_part
from lightning_nas.execution import Execution
from lightning_nas.spaces import ChainSkeleton, ConvChainSpace, DartsSpace, NasBench201Space
from lightning_nas.testing import BoringSkeleton, BoringSpace
from lightning_nas.testing.space import sampled

pytestmark = pytest.mark.slow

SPACE, SKELETON = BoringSpace(), BoringSkeleton()
CPU = torch.device("cpu")


class Clock:
    """Seconds that pass only when somebody works."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: self.now)

    def work(self, *seconds: float) -> Any:
        """A run that takes these seconds, one after the other and then again."""
        calls: list[float] = []

        def run() -> None:
            calls.append(seconds[len(calls) % len(seconds)])
            self.now += calls[-1]

        return run, calls


# --- the stopwatch --------------------------------------------------------------------------------------------------


def test_medians_and_quartiles_without_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    run, calls = clock.work(9.0, 9.0, 0.001, 0.002, 0.003, 0.004, 0.5)
    found = latencies({"a": run}, CPU, warmup=2, repetitions=5)["a"]
    assert (found.median, found.spread, found.repetitions) == (pytest.approx(3.0), pytest.approx(2.0), 5)
    assert len(calls) == 7


def test_runs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    runs = {name: (lambda name=name: order.append(name)) for name in ("a", "b")}
    assert set(latencies(runs, CPU, warmup=1, repetitions=2)) == {"a", "b"}
    assert order == ["a", "b", "a", "b", "a", "b"]


def test_short_runs_are_repeated_within_a_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    short, calls = clock.work(0.00025)
    long, few = clock.work(0.5)
    found = latencies({"short": short, "long": long}, CPU, warmup=0, repetitions=3, least_ms=1.0)
    assert (found["short"].median, found["long"].median) == (pytest.approx(0.25), pytest.approx(500.0))
    assert (len(calls), len(few)) == (1 + 3 * 4, 1 + 3)


# --- measured -------------------------------------------------------------------------------------------------------


def test_a_network_is_built_once_and_measured_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    built, seen = [], []

    def build(*arguments: Any) -> nn.Module:
        built.append(running_child(*arguments))
        built[-1].register_forward_hook(
            lambda module, inputs, _: seen.append(
                (tuple(inputs[0].shape), module.training, torch.is_inference_mode_enabled(), torch.get_num_threads())
            )
        )
        return built[-1]

    monkeypatch.setattr(lightning_nas.costs.measured, "running_child", build)
    before = torch.get_num_threads()
    cost = MeasuredLatency(batch_size=3, image_size=(6, 8), warmup=2, repetitions=4, threads=2)
    (genotype,) = sampled(SPACE, 1)
    found = cost(SPACE, genotype, SKELETON)
    assert found > 0
    assert cost(SPACE, genotype, SKELETON) == found
    assert len(built) == 1
    assert seen == [((3, 3, 6, 8), False, True, 2)] * 6
    assert torch.get_num_threads() == before
    latency = cost.measure(SPACE, genotype, SKELETON)
    assert isinstance(latency, Latency)
    assert latency.repetitions == 4
    assert len(built) == 2


def test_weights_are_the_same_and_activations_of_a_trained_networks_size() -> None:
    space, skeleton = DartsSpace(), CellSkeleton(cells=12, channels=4)
    (genotype,) = sampled(space, 1)
    before = torch.get_rng_state()
    one, other = (running_child(space, genotype, skeleton, CPU, (32, 32)) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))
    sizes: list[float] = []
    for module in one.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(lambda _module, _inputs, output: sizes.append(output.std().item()))
    with torch.no_grad():
        one(torch.randn(8, 3, 32, 32))
    assert min(sizes) > 0.05  # fresh norms: 1e-8 and less
    fresh = space.build(genotype, skeleton).state_dict()
    assert {key: value.shape for key, value in fresh.items()} == {k: v.shape for k, v in one.state_dict().items()}


def test_chains_can_be_measured() -> None:
    space = ConvChainSpace()
    assert MeasuredLatency(image_size=8, repetitions=2)(space, *sampled(space, 1), ChainSkeleton(channels=4)) > 0


# --- the table ------------------------------------------------------------------------------------------------------


def quick(path: Path, **more: Any) -> TableLatency:
    return TableLatency(path, **({"image_size": 8, "warmup": 1, "repetitions": 3, "threads": 1} | more))


@pytest.mark.parametrize("case", ["DartsSpace-imagenet", "NasBench201Space", "NasnetSpace-one-cell", "EnasMacroSpace"])
def test_terms_come_from_the_entries(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A number for each entry instead of a time: the sum says which are in it, and how often."""
    space, skeleton = CASES[case]
    monkeypatch.setattr(
        table_measuring,
        "latencies",
        lambda runs, *_: {key: Latency(float(number), 0.0, 1) for number, key in enumerate(runs, start=1)},
    )
    cost = quick(tmp_path / "table.json", image_size=32)
    terms = cost.terms(space, skeleton)
    entries = LatencyTable(cost.path, "").entries
    (around,) = (key for key in entries if key.startswith("around"))
    assert terms.fixed == entries[around].median
    assert {name: table.shape for name, table in terms.candidates.items()} == {
        name: group.shape for name, group in space.groups.items()
    }
    for genotype in sampled(space, 3):
        child = space.build(genotype, skeleton)
        assert cost(space, genotype, skeleton) == terms.total(space.selection(genotype))
        assert cost(space, genotype, skeleton) - terms.fixed == summed(space, child, entries, cost.size)


def summed(space: SupernetSpace, child: nn.Module, entries: Mapping[str, Latency], size: tuple[int, int]) -> float:
    """The entries of what runs in a child, found by its candidates' names and the shapes that they read and give."""
    calls: list[tuple[str, str]] = []
    for name, module in child.named_modules():
        words = name.split(".")
        if len(words) >= 3 and words[-3] == "edges":
            module.register_forward_hook(
                lambda _module, inputs, output, word=words[-1]: calls.append(
                    (word, f"{'x'.join(map(str, inputs[0].shape[1:]))} -> {'x'.join(map(str, output.shape[1:]))}")
                )
            )
    skeleton = child.skeleton
    assert isinstance(skeleton, Skeleton)
    with torch.no_grad():
        child.eval()(torch.zeros(1, skeleton.in_channels, *size))
    assert calls
    total = 0.0
    for word, sizes in calls:
        (entry,) = (latency for key, latency in entries.items() if key.startswith(f"{word} {sizes} "))
        total += entry.median
    return total


def test_a_table_is_measured_once_and_extended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[set[str]] = []
    original = table_measuring.latencies

    def note(runs: Any, *arguments: Any) -> Any:
        measured.append({key for key in runs if not key.startswith("around")})
        return original(runs, *arguments)

    monkeypatch.setattr(table_measuring, "latencies", note)
    path = tmp_path / "folder" / "table.json"
    terms = quick(path).terms(SPACE, SKELETON)
    assert len(measured) == 1
    content = path.read_text()
    again = quick(path).terms(SPACE, SKELETON)
    assert len(measured) == 1
    assert path.read_text() == content
    assert (again.fixed, again.candidates["cell"].tolist()) == (terms.fixed, terms.candidates["cell"].tolist())
    quick(path).terms(SPACE, replace(SKELETON, classes=3))  # other surroundings, the same candidates
    assert measured[1:] == [set()]
    quick(path).terms(SPACE, replace(SKELETON, channels=6))
    assert len(measured[2]) == 3
    assert set(json.loads(content)["entries"]) < set(json.loads(path.read_text())["entries"])
    assert list(path.parent.iterdir()) == [path]
    fixed = terms.fixed
    assert fixed > 0
    assert all(value > 0 for value in terms.candidates["cell"].flatten().tolist())


def test_entries_of_another_process_stay(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    quick(path).terms(SPACE, SKELETON)
    table = LatencyTable(path, "")
    LatencyTable(path, "").add({"theirs": Latency(1.0, 0.0, 1)})
    table.add({"mine": Latency(2.0, 0.0, 1)})
    assert {"theirs", "mine"} < set(LatencyTable(path, "").entries)


def test_candidates_cost_nothing_in_their_surroundings() -> None:
    space, skeleton = CASES["NasBench201Space"]
    genotype = space.genotype(dict.fromkeys((d.name for d in space.decisions), "nor_conv_3x3"))
    child = running_child(space, genotype, skeleton, CPU, (16, 16))
    calls: list[str] = []
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        expected = child(images).logits
        run, channels_last = fixed_part(space, child, images)
        for name, module in child.named_modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_hook(lambda *_, name=name: calls.append(name))
        assert torch.equal(run().logits, expected)  # type: ignore[attr-defined]
    assert channels_last
    assert calls
    assert not [name for name in calls if ".edges." in name]


def test_more_convolutions_take_longer(tmp_path: Path) -> None:
    """Measured for once: the differences are far larger than what a busy machine makes of them."""
    space = NasBench201Space()
    skeleton = space.skeleton(cells_per_stage=1, channels=64)
    cells = [
        space.genotype({d.name: "nor_conv_3x3" if i < count else "skip_connect" for i, d in enumerate(space.decisions)})
        for count in (0, 6)
    ]
    for cost in (quick(tmp_path / "table.json", image_size=32), MeasuredLatency(repetitions=5, threads=1)):
        small, large = (cost(space, cell, skeleton) for cell in cells)
        assert 0 < small < large


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"batch_size": 2},
            "the table was measured with batch_size 1, not 2. Latencies of different conditions do",
        ),
        ({"threads": 2}, "the table was measured with threads 1, not 2."),
    ],
)
def test_a_table_of_other_conditions_is_refused(change: dict[str, Any], text: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    quick(path).terms(SPACE, SKELETON)
    content = path.read_text()
    for ask in ("check", "terms"):
        with pytest.raises(ValueError, match=re.escape(text)):
            getattr(quick(path, **change), ask)(SPACE, SKELETON)
    assert path.read_text() == content


@pytest.mark.parametrize("condition", ["device", "torch"])
def test_a_table_of_another_device_or_version_is_refused(condition: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    quick(path).terms(SPACE, SKELETON)
    content = json.loads(path.read_text())
    content["conditions"][condition] = "another"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=re.escape(f"TableLatency(path={str(path)!r}): the table was measured with")):
        quick(path).check(SPACE, SKELETON)
    with pytest.raises(ValueError, match=f"{condition} 'another', not '.*give the path of another table"):
        quick(path).terms(SPACE, SKELETON)


def test_a_table_without_its_device_is_read_only(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    reader = quick(path, device=None, threads=None)
    with pytest.raises(ValueError, match=r"device=None\): no such file: give the device to measure on"):
        reader.check(SPACE, SKELETON)
    terms = quick(path).terms(SPACE, SKELETON)
    content = json.loads(path.read_text())
    content["conditions"]["device"] = "a telephone"
    path.write_text(json.dumps(content))
    reader.check(SPACE, SKELETON)
    assert reader.terms(SPACE, SKELETON).fixed == terms.fixed
    with pytest.raises(ValueError, match=r"the table lacks 4 entries, such as 'around BoringSpace 3x8x8 .*give the"):
        quick(path, device=None).check(SPACE, replace(SKELETON, channels=6))


def test_threads_are_those_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.json"
    quick(path, threads=2).terms(SPACE, SKELETON)
    threads: list[int] = []
    original = table_measuring.latencies
    monkeypatch.setattr(
        table_measuring, "latencies", lambda *a: threads.append(torch.get_num_threads()) or original(*a)
    )
    quick(path, threads=None).terms(SPACE, replace(SKELETON, channels=6))
    assert threads == [2]


@pytest.mark.parametrize("content", ["", "[]", '{"entries": {}}', '{"conditions": {}, "entries": {"a": 1}}'])
def test_a_file_that_is_no_table_is_refused_and_left_alone(content: str, tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"the file is no latency table \(.*\)\. Give another path, or remove it"):
        quick(path).terms(SPACE, SKELETON)
    assert path.read_text() == content


class Cells(nn.Module):
    """A supernet that hides its candidates."""

    def forward(self, x: Tensor, architecture: Any = None) -> Tensor:
        return x


class Hidden(BoringSpace):
    """Of a user who builds networks in his own way."""

    def build(self, genotype: Any, skeleton: Skeleton, execution: Execution = Execution()) -> Any:
        return Cells()


def test_a_space_whose_candidates_cannot_be_found_is_told_so(tmp_path: Path) -> None:
    for cost in (quick(tmp_path / "table.json"), lightning_nas.Parameters(), lightning_nas.Macs()):
        with pytest.raises(ValueError, match=r"Hidden: its networks have no module with `group_name` and `edges`"):
            cost.terms(Hidden(), SKELETON)


# --- a benchmark's file ---------------------------------------------------------------------------------------------


def test_latencies_of_a_file(tmp_path: Path) -> None:
    space = NasBench201Space()
    genotypes = sampled(space, 2)
    rows = [f"{space.format(genotype)},{number},{number}.5" for number, genotype in enumerate(genotypes)]
    path = tmp_path / "latencies.csv"
    path.write_text("\n".join(["cell,phone,card", *rows]))
    phone = CsvLatency(path, "phone", key="cell")
    card = CsvLatency(path, "card", key="cell", scale=1000.0, name="card_us")
    skeleton = space.skeleton()
    assert [phone(space, genotype, skeleton) for genotype in genotypes] == [0.0, 1.0]
    assert [card(space, genotype, skeleton) for genotype in genotypes] == [500.0, 1500.0]
    assert (phone.name, card.name) == ("latency_ms", "card_us")
    phone.check(space, skeleton)
    with pytest.raises(ValueError, match=r"latencies.csv has no row with cell=\|"):
        phone(space, space.genotype(dict.fromkeys((d.name for d in space.decisions), "none")), skeleton)
    with pytest.raises(ValueError, match=r"BoringSpace has no text format: give another cost, or another space"):
        phone.check(SPACE, SKELETON)
    with pytest.raises(ValueError, match=r"CsvLatency\(path='.*'\): no column 'watch'. There are cell, phone, card"):
        CsvLatency(path, "watch", key="cell")
    with pytest.raises(ValueError, match=r"CsvLatency\(path='none.csv'\): no such file"):
        CsvLatency("none.csv", "phone")


# --- arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cost",
    [
        MeasuredLatency("cpu", 2, (8, 16), 1, 3, 2, "cpu_ms"),
        TableLatency("table.json", "cpu", 2, (8, 16), 1, 3, 2, "cpu_ms"),
        TableLatency("table.json", None),
    ],
)
def test_costs_come_back_from_their_config(cost: Cost) -> None:
    again = instantiate(json.loads(json.dumps(cost.config())))
    assert type(again) is type(cost)
    assert again.config() == cost.config()
    assert again.name == cost.name


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"batch_size": 0}, "(batch_size=0): give an integer of at least 1."),
        ({"repetitions": 0}, "(repetitions=0): give an integer of at least 1."),
        ({"threads": 0}, "(threads=0): give an integer of at least 1."),
        ({"warmup": -1}, "(warmup=-1): give an integer of at least 0."),
        ({"image_size": 0}, "(image_size=0): give the height and width of the images"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("MeasuredLatency" + text)):
        MeasuredLatency(**arguments)
    with pytest.raises(ValueError, match=re.escape("TableLatency" + text)):
        TableLatency("table.json", **arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_a_device_that_is_not_there_is_named(tmp_path: Path) -> None:
    for cost in (MeasuredLatency("cuda"), quick(tmp_path / "table.json", device="cuda"), MeasuredLatency("toaster")):
        with pytest.raises(ValueError, match=r"Latency\(device='(cuda|toaster)'\): it cannot be used here \(.+\); gi"):
            cost.check(SPACE, SKELETON)
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_the_space_is_refused(tmp_path: Path) -> None:
    chain, skeleton = ConvChainSpace(), ChainSkeleton()
    table = quick(tmp_path / "table.json")
    text = r"ConvChainSpace has no edges: give MeasuredLatency"
    with pytest.raises(ValueError, match=text):
        table.check(chain, skeleton)
    with pytest.raises(ValueError, match=text):
        table(chain, *sampled(chain, 1), skeleton)
    for cost in (quick(tmp_path / "table.json", image_size=2), MeasuredLatency(image_size=2)):
        with pytest.raises(ValueError, match=r"Latency\(image_size=\[2, 2\]\): the networks of BoringSpace take ima"):
            cost(SPACE, *sampled(SPACE, 1), SKELETON)
