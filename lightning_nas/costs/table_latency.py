"""Latency as a sum over a table of candidates, each measured once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs.base import AdditiveCost, CostTerms
from lightning_nas.costs.latency_files import LatencyTable
from lightning_nas.costs.measured import device_name, usable, using_threads
from lightning_nas.costs.networks import ImageSize, check_images, check_positive, deployed, height_and_width
from lightning_nas.costs.table_measuring import Measuring, fixed_part_key, placed_candidates
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.files import expanded
from lightning_nas.spaces.base import SearchSpace, SupernetSpace


class TableLatency(AdditiveCost):
    """The time of an inference as the sum of its candidates' times, in milliseconds, from a table in a file.

    Each candidate is measured once for each shape of what it reads, and so is what children do around their candidates
    (stem, preprocessing, sums, concatenation, head): a table of some dozen entries for a space of any size, which every
    method can ask, those that relax the architecture too. A table that exists is used, and extended by what it lacks.

    It is an approximation: times do not quite add up. What stands around the candidates is that of four random
    children, so what of it depends on the genotype, loose ends (NASNet) and skips (ENAS macro), counts on average.

    Source: Cai, Zhu & Han, "ProxylessNAS", ICLR 2019; Wu et al., "FBNet", CVPR 2019.

    Args:
        path: JSON file of the table.
        device: "cpu", "cuda", ...; None: only read the table, wherever it was measured.
        batch_size: images in the batch.
        image_size: height and width of the images, or one number for both.
        warmup: calls of an entry before the first that counts.
        repetitions: measurements of an entry, of which the median counts.
        threads: CPU threads of PyTorch while it measures; None: as many as the table has, or as PyTorch has now.
        name: of the metric, where latencies on several devices are costs.

    Raises:
        ValueError: a number is not positive.

    Example:
        >>> import tempfile
        >>> from lightning_nas.spaces import NasBench201Space
        >>> space, path = NasBench201Space(), Path(tempfile.mkdtemp(), "cpu.json")
        >>> cost = TableLatency(path, image_size=8, repetitions=3, threads=1)
        >>> terms = cost.terms(space, space.skeleton(channels=4, cells_per_stage=1))
        >>> terms.candidates["cell"].shape, len(LatencyTable(path, "").entries)
        (torch.Size([6, 5]), 16)
    """

    def __init__(
        self,
        path: str | Path,
        device: str | None = "cpu",
        batch_size: int = 1,
        image_size: ImageSize = 32,
        warmup: int = 3,
        repetitions: int = 20,
        threads: int | None = None,
        name: str = "latency_ms",
    ) -> None:
        check_positive("TableLatency", batch_size=batch_size, repetitions=repetitions, threads=threads)
        if warmup < 0:
            raise ValueError(f"TableLatency(warmup={warmup}): give an integer of at least 0.")
        self.path, self.device, self.batch_size, self.name = expanded(path), device, batch_size, name
        self.size = height_and_width("TableLatency", image_size)
        self.warmup, self.repetitions, self.threads = warmup, repetitions, threads
        self._terms: dict[tuple[SearchSpace, Skeleton], CostTerms] = {}

    def check(self, space: SearchSpace, skeleton: Skeleton) -> None:
        """Refuse a space without edges, images that are too small, and a table that was measured otherwise.

        Raises:
            ValueError: names it and the remedy.
        """
        if not isinstance(space, SupernetSpace):
            raise ValueError(
                f"TableLatency is a sum over the candidates of edges, and {type(space).__name__} has no edges: give "
                "MeasuredLatency(...)."
            )
        check_images("TableLatency", self.size, space, skeleton)
        self._table()
        if self.device is None:
            self.terms(space, skeleton)

    def __call__(self, space: SearchSpace, genotype: Genotype, skeleton: Skeleton) -> float:
        if not isinstance(space, SupernetSpace):
            self.check(space, skeleton)
        selection = cast(SupernetSpace, space).selection(space.check(genotype))
        return self.terms(cast(SupernetSpace, space), skeleton).total(selection)

    def terms(self, space: SupernetSpace, skeleton: Skeleton) -> CostTerms:
        """The sum's terms; what the table lacks is measured first.

        Raises:
            ValueError: the table was measured otherwise, or lacks something and there is no device to measure it on.
        """
        key = (space, skeleton)
        if key not in self._terms:
            check_images("TableLatency", self.size, space, skeleton)
            self._terms[key] = self._summed(space, deployed(skeleton))
        return self._terms[key]

    def _summed(self, space: SupernetSpace, skeleton: Skeleton) -> CostTerms:
        table, images = self._table(), (self.batch_size, skeleton.in_channels, *self.size)
        placed = placed_candidates(space, skeleton, images)
        around = fixed_part_key(space, skeleton, images)
        missing = {candidate.key for candidate in placed} | {around}
        missing -= set(table.entries)
        if missing:
            self._complete(table, missing, Measuring(space, skeleton, placed, around, images))
        sums = {name: torch.zeros(group.shape, dtype=torch.float64) for name, group in space.groups.items()}
        for candidate in placed:
            place = candidate.place
            sums[place.group][place.row, place.column] += table.entries[candidate.key].median
        return CostTerms(table.entries[around].median, sums)

    def _complete(self, table: LatencyTable, missing: set[str], measuring: Measuring) -> None:
        if self.device is None:
            raise ValueError(
                f"TableLatency(path={str(self.path)!r}, device=None): the table lacks {len(missing)} entries, such as "
                f"{min(missing)!r}, for {type(measuring.space).__name__} under this skeleton: give the device, "
                "on the machine where the table was measured, to add them."
            )
        threads = table.conditions.get("threads")
        with using_threads(threads):
            table.add(measuring(missing, torch.device(self.device), self.warmup, self.repetitions))

    def _table(self) -> LatencyTable:
        """The table in the file, if it was measured as this cost says; else an empty one.

        Raises:
            ValueError: it was measured otherwise, or there is neither a file nor the device.
        """
        table = LatencyTable(self.path, "TableLatency")
        conditions: dict[str, Any] = {"batch_size": self.batch_size}
        if self.device is None:
            if not self.path.is_file():
                raise ValueError(
                    f"TableLatency(path={str(self.path)!r}, device=None): no such file: give the device to measure on."
                )
        else:
            device = usable("TableLatency", self.device)
            conditions |= {"device": device_name(device), "torch": torch.__version__}
            if device.type == "cpu":
                known = table.conditions.get("threads", torch.get_num_threads())
                conditions["threads"] = known if self.threads is None else self.threads
        table.require(conditions)
        return table
