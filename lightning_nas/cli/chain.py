"""The chain: its settings, and its stages in order."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.callbacks import ExtractGenotype
from lightning_nas.callbacks.retrain import data_config
from lightning_nas.callbacks.run import data_of, sound_genotype
from lightning_nas.cli.stages import ChainState, Config, fit, print_report, stage_cli, training_config
from lightning_nas.runtime.files import expanded, write_atomically
from lightning_nas.runtime.seeding import generator
from lightning_nas.search import SearchModule
from lightning_nas.spaces.base import SearchSpace


@dataclass
class Chain:
    """Search, extraction, training of the network found, test; started again it goes on where it was.

    With several seeds it is the protocol of the DARTS authors: one search a seed, a short training of each cell found,
    and the full training of the one with the best validation accuracy.

    Args:
        search: fit config of a search, or the path of one.
        retrain: fit config of `NetworkTraining` without genotype, or the path of one; `space` may be left out too, and
            `data`, which is then that of the search (the inner one of a `Bilevel`, the evaluator's of children).
        output: folder of everything that is written.
        seeds: one search for each.
        select: fit config of the short trainings, or its path; None takes `retrain`.
        select_epochs: epochs of the short trainings; None takes those of `select`.
        random_cells: number of random cells to train like the one found, as a baseline.

    Raises:
        ValueError: settings that contradict each other.
    """

    search: dict[str, Any] | str
    retrain: dict[str, Any] | str
    output: str = "runs/search"
    seeds: list[int] = field(default_factory=lambda: [0])
    select: dict[str, Any] | str | None = None
    select_epochs: int | None = None
    random_cells: int = 0

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds={self.seeds}: give at least one, and each once.")
        if len(self.seeds) > 1 and self.select is None and self.select_epochs is None:
            raise ValueError("select_epochs=None: with several seeds, say how long the cells found are trained.")
        if self.select_epochs is not None and self.select_epochs < 1:
            raise ValueError(f"select_epochs={self.select_epochs}: give at least 1.")
        if self.random_cells < 0:
            raise ValueError(f"random_cells={self.random_cells}: give 0 or more.")
        self.search, self.retrain = read_config(self.search), read_config(self.retrain)
        self.select = read_config(self.select) if self.select is not None else self.retrain
        self._folder = expanded(self.output)
        self._space: SearchSpace | None = None
        self._data: Config | None = None

    def prepare(self) -> SearchSpace:
        """Find earlier stages, and construct every part once: a mistake in the last config shows before the search.

        Raises:
            ValueError: the output is that of other settings, or a config does not fit its place.
            MisconfigurationException: a part refuses its arguments.
        """
        if self._space is None:
            self._state = ChainState(self._folder, asdict(self))
            self._space = self._preflight()
        return self._space

    def run(self) -> dict[str, Any]:
        """All stages that are not done yet; the summary, which is also printed and kept as `summary.json`."""
        space = self.prepare()
        found = [self._search(seed) for seed in self.seeds]
        best = self._select(found, space)
        config = self._training(self.retrain, space, self._genotype(best))
        self._save(self._folder / "retrain.yaml", yaml.safe_dump(config, sort_keys=False))
        final = self._train("final", config, self.seeds[0])
        random = [self._train_random(index, space) for index in range(self.random_cells)]
        summary = self._summary(space, best, final, random)
        print_report(summary, self._folder)
        return summary

    # --- stages -----------------------------------------------------------------------------------------------------

    def _preflight(self) -> SearchSpace:
        cli = stage_cli(_plain(self.search), self._folder / "preflight", self.seeds[0])
        search = cli.model
        if not isinstance(search, SearchModule):
            raise ValueError(f"search: the model is a {type(search).__name__}, not a search such as DartsSearch.")
        self._data = data_config(data_of(search, cli.datamodule))
        genotype = search.space.sample(generator(0, "preflight"))
        for source in (self.retrain, self.select):
            config = self._training(source, search.space, genotype)
            training = stage_cli(config, self._folder / "preflight", self.seeds[0])
        if len(self.seeds) > 1 and getattr(training.datamodule, "validation", None) == 0:
            raise ValueError(
                "select: with several seeds the best cell is chosen by validation accuracy, but the data has "
                "validation=0: set a share, for example validation: 0.1."
            )
        return search.space

    def _search(self, seed: int) -> dict[str, Any]:
        name = f"search-{seed}"
        done = self._state.result(name)
        if done is not None:
            return done
        folder = self._folder / name
        rank_zero_info(f"[{name}] searching; files in {folder}")
        extract = ExtractGenotype(str(folder.absolute() / "genotype.yaml"))
        cli = stage_cli(_plain(self.search), folder, seed, [extract])
        seconds = fit(cli, folder)
        assert isinstance(cli.model, SearchModule)
        genotype = sound_genotype(cli.model)
        if genotype is None:
            raise MisconfigurationException(
                f"[{name}] has found nothing to train: every child has failed, or nothing was derived; see {folder}."
            )
        return self._state.finish(name, {"genotype": genotype.to_dict(), "seconds": seconds, "seed": seed})

    def _select(self, found: list[dict[str, Any]], space: SearchSpace) -> dict[str, Any]:
        if len(found) == 1:
            return found[0]
        scores = []
        for result in found:
            seed = result["seed"]
            config = self._training(self.select, space, self._genotype(result), self.select_epochs)
            scores.append(self._train(f"select-{seed}", config, seed, test=False)["validation"])
        best = found[scores.index(max(scores))]
        rank_zero_info(f"[select] validation accuracies {scores}: seed {best['seed']} is trained in full")
        return best

    def _train(self, name: str, config: Config, seed: int, test: bool = True) -> dict[str, Any]:
        done = self._state.result(name)
        if done is not None:
            return done
        folder = self._folder / name
        rank_zero_info(f"[{name}] training; files in {folder}")
        cli = stage_cli(config, folder, seed)
        seconds = fit(cli, folder)
        metric = cli.model.task.metric_name
        result: dict[str, Any] = {"seconds": seconds, "metric": metric}
        result["parameters"] = sum(parameter.numel() for parameter in cli.model.parameters())
        validation = cli.trainer.callback_metrics.get(f"val/{metric}")
        result["validation"] = None if validation is None else float(validation)
        if test:
            result["test"] = cli.trainer.test(cli.model, cli.datamodule, verbose=False)[0][f"test/{metric}"]
        return self._state.finish(name, result)

    def _train_random(self, index: int, space: SearchSpace) -> dict[str, Any]:
        genotype = space.sample(generator(self.seeds[0], "random cell", index))
        return self._train(f"random-{index}", self._training(self.retrain, space, genotype), self.seeds[0])

    # --- parts ------------------------------------------------------------------------------------------------------

    def _training(
        self, source: Config | str | None, space: SearchSpace, genotype: Genotype, max_epochs: int | None = None
    ) -> Config:
        return training_config(_plain(source), space.config(), genotype, max_epochs, self._data)

    @staticmethod
    def _genotype(result: dict[str, Any]) -> Genotype:
        return Genotype.from_dict(result["genotype"])

    def _summary(
        self, space: SearchSpace, best: dict[str, Any], final: dict[str, Any], random: list[dict[str, Any]]
    ) -> dict[str, Any]:
        search, genotype = self._folder / f"search-{best['seed']}", self._genotype(best)
        stages = [self._state.result(f"{stage}-{seed}") for stage in ("search", "select") for seed in self.seeds]
        cost = sum(stage["seconds"] for stage in stages if stage)
        try:
            cell = space.format(genotype)
        except NotImplementedError:
            cell = ", ".join(f"{name}={option}" for name, option in genotype)
        files = {
            "genotype": search / "genotype.yaml",
            "picture": search / "genotype.png",
            "TensorBoard log": search,
            "network": self._folder / "final" / "checkpoints" / "last.ckpt",
        }
        summary = {
            "cell": cell,
            "parameters": final["parameters"],
            "search_seconds": cost,
            "training_seconds": final["seconds"],
            "metric": final["metric"],
            "test": final["test"],
            "random": [result["test"] for result in random],
            "files": {label: str(path) for label, path in files.items() if path.exists()},
        }
        self._save(self._folder / "summary.json", json.dumps(summary, indent=2))
        return summary

    @rank_zero_only
    def _save(self, path: Path, text: str) -> None:
        write_atomically(path, text)


def _plain(config: dict[str, Any] | str | None) -> dict[str, Any]:
    assert isinstance(config, dict), "read in the constructor"
    return config


def read_config(source: dict[str, Any] | str) -> dict[str, Any]:
    """A fit config from its file, or the config itself.

    Raises:
        ValueError: no such file, or it holds no mapping.
    """
    if isinstance(source, dict):
        return copy.deepcopy(source)
    file = expanded(source)
    if not file.is_file():
        raise ValueError(f"{source!r}: no such config file.")
    content = yaml.safe_load(file.read_text())
    if not isinstance(content, dict):
        raise ValueError(f"{source!r} holds no configuration (a mapping with model, data and trainer).")
    return content


def run_from_command_line(words: Sequence[str]) -> None:
    """`lightning-nas run`; a mistake in the settings ends it with one message."""
    parser = ArgumentParser(prog="lightning-nas run", description="Search, build, train and test in one go.")
    parser.add_argument("--config", action="config", help="YAML file with the options below")
    parser.add_class_arguments(Chain)
    settings = parser.parse_args(list(words))
    values = settings.as_dict()
    values.pop("config", None)
    try:
        chain = Chain(**values)
        chain.prepare()
    except ValueError as error:
        parser.error(str(error))
    chain.run()
