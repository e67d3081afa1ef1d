"""Children trained one by one: the family of all methods that evaluate whole networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.rank_zero import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from typing_extensions import TypedDict, override

from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs import Budget
from lightning_nas.evaluators import Evaluator, Job
from lightning_nas.functional.gradients import gradients
from lightning_nas.networks.skeleton import Skeleton
from lightning_nas.runtime.files import expanded
from lightning_nas.runtime.parallel import Exchange, average_tensors
from lightning_nas.runtime.seeding import derive_seed, generator, isolated_numerics
from lightning_nas.samplers import Sampler
from lightning_nas.search.base import SearchModule
from lightning_nas.search.budget import check_budget, nearest, nothing_fits
from lightning_nas.search.checks import check_numbers, check_trainer, refuse_data
from lightning_nas.search.trial_runner import Progress, TrialRunner, TrialSteps
from lightning_nas.training.task import Classification, Task
from lightning_nas.trials.reward import MetricReward, Reward
from lightning_nas.trials.trial import Proposal, Trial

_UNSET_EPOCHS = 1000  # what Lightning takes where neither epochs, steps nor a time are given
_STATE = "multi_trial"


class TrialSettings(TypedDict, total=False):
    """Arguments of `MultiTrialSearch` that methods hand on as they are."""

    task: Task | None
    max_seconds: float | None
    max_failures: int
    filename: str
    budget: Budget | None


class MultiTrialSearch(SearchModule):
    """Samples children, evaluates each, and lets the sampler learn from their rewards.

    A batch of the fit is a trial on each rank. A round is asked for at once, evaluated side by side, and told at once,
    so the result does not depend on the number of ranks. Every finished trial is appended to a file; trials that stand
    there are not evaluated again, so a search that was killed goes on when it is started again, with or without a
    checkpoint, and ends as the unbroken one.

    What a child costs is among its metrics, under the names of the budget's costs. One that breaks a limit is refused
    before it is trained: its trial counts, has a reason and no reward, and is no failure.

    Args:
        sampler: proposes children and learns.
        evaluator: says what a child is worth.
        skeleton: sizes of the children at full fidelity; None takes the space's own.
        reward: from what the evaluator says to what the sampler learns from; None is the validation accuracy.
        task: loss and metric of the children.
        trials: children in an epoch of the fit; one epoch is usual, and taken where the trainer is given no length.
        round_size: children that are proposed at once, at least as many as there are ranks.
        max_seconds: stop after the round in which the children's cost reaches it.
        max_failures: stop when so many children in a row have failed.
        filename: of the trials; a relative path lies in the trainer's log folder.
        budget: what children may cost; None: anything.

    Raises:
        ValueError: a number out of range, or trials that are not whole rounds.

    Example:
        >>> from lightning_nas import FitEvaluator, UniformSampler
        >>> from lightning_nas.data import Digits
        >>> from lightning_nas.spaces import NasBench201Space
        >>> search = MultiTrialSearch(UniformSampler(NasBench201Space()), FitEvaluator(Digits(validation=0.2)))
        >>> search.derive() in search.space
        True
    """

    def __init__(
        self,
        sampler: Sampler,
        evaluator: Evaluator,
        skeleton: Skeleton | None = None,
        reward: Reward | None = None,
        task: Task | None = None,
        trials: int = 100,
        round_size: int = 1,
        max_seconds: float | None = None,
        max_failures: int = 5,
        filename: str = "trials.jsonl",
        budget: Budget | None = None,
    ) -> None:
        skeleton = skeleton or sampler.space.skeleton()
        super().__init__(sampler.space, skeleton, task or Classification(), budget=budget)
        check_numbers(type(self).__name__, trials, round_size, max_seconds, max_failures)
        self.sampler, self.evaluator, self.reward = sampler, evaluator, reward or MetricReward()
        self.trials, self.round_size = trials, round_size
        self.max_seconds, self.filename = max_seconds, filename
        # Lightning counts steps by optimizers, and DDP refuses a module without parameters: one step of this a trial.
        self.counter = nn.Parameter(torch.zeros(()))
        self.progress = Progress(max_failures, sampler.objectives)
        self._found: frozenset[int] = frozenset()  # trials of an earlier run
        self._step_in_round, self._proposals = 0, list[Proposal]()
        self._earlier_file = ""
        self._runner: TrialRunner | None = None
        self._exchange: Exchange | None = None

    # --- what was found ---------------------------------------------------------------------------------------------

    @property
    def best(self) -> Trial | None:
        """The best trial so far; None before the first that was evaluated without failure."""
        return self.progress.best

    @property
    def front(self) -> list[Trial]:
        """The trials so far that no other beats in all objectives of the sampler; if it has none, the best trial."""
        return list(self.progress.front)

    @property
    def spent(self) -> float:
        """Seconds that all children have cost."""
        return self.progress.spent

    def derive(self) -> Genotype:
        """The genotype of the best trial, or a random one within the limits before the first."""
        if self.best is not None:
            return self.best.genotype
        source = generator(self.seed, "derive")
        return nearest(lambda _: [Proposal(self.space.sample(source))], self.costing).genotype

    # --- before the search ------------------------------------------------------------------------------------------

    def configure_callbacks(self) -> Sequence[Callback] | Callback:
        """No callbacks; refuses a trainer's settings that would not reach the children.

        Raises:
            MisconfigurationException: names the trainer's argument, its value and the remedy.
        """
        check_trainer(type(self).__name__, self.trainer, self.round_size)
        return super().configure_callbacks()

    def setup(self, stage: str) -> None:
        """Refuse data given to the outer fit, a space that the evaluator cannot evaluate, and an impossible budget.

        Raises:
            MisconfigurationException: the data would replace the trials, or nothing keeps the limits.
        """
        if self.trainer.datamodule is not None:  # type: ignore[attr-defined]
            raise refuse_data(type(self).__name__, "a datamodule")
        self.evaluator.check(self.space, self.skeleton)
        check_budget(type(self).__name__, self.costing)
        if self.trainer.max_epochs == _UNSET_EPOCHS and self.trainer.max_steps == -1:
            self.trainer.fit_loop.max_epochs = 1
            rank_zero_info(f"Trainer(max_epochs) is not set: one epoch, the {self.trials} trials of the search.")

    def train_dataloader(self) -> TrialSteps:
        """One batch for each trial that a rank evaluates."""
        return TrialSteps(self.trials // self.round_size * self._steps_per_round)

    @property
    def _steps_per_round(self) -> int:
        return math.ceil(self.round_size / self.trainer.world_size)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        optimizers: list[torch.optim.Optimizer] = [torch.optim.SGD([self.counter], lr=0.0)]
        parameters = [p for p in self.sampler.parameters() if p.requires_grad]
        if parameters and self.sampler.optimizer is not None:
            optimizers.append(self.sampler.optimizer.build(parameters))
        return optimizers

    def on_fit_start(self) -> None:
        """Read the trials that an interrupted run has left."""
        folder = Path(self.trainer.log_dir or self.trainer.default_root_dir)
        exchange = Exchange(self.trainer.strategy)
        path = folder / expanded(self.filename)
        runner = TrialRunner(self.evaluator, self.reward, self._job, path, self.costing)
        if self.global_rank == 0:
            runner.read(self._earlier_file)
        runner.known = exchange.gather(runner.known)[0]
        self._found = frozenset(runner.known)
        self._runner, self._exchange = runner, exchange
        if len(runner.known) > self.sampler.told:
            rank_zero_info(f"{runner.file.path} holds {len(runner.known)} trials: they are not evaluated again.")

    @property
    def runner(self) -> TrialRunner:
        """What evaluates trials and knows those that are finished; there from the start of a fit on."""
        if self._runner is None:
            raise RuntimeError(f"{type(self).__name__} has no trials before Trainer.fit.")
        return self._runner

    @override
    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        if not isinstance(batch, int):
            raise refuse_data(type(self).__name__, "dataloaders")
        super().on_train_batch_start(batch, batch_idx)

    # --- the search -------------------------------------------------------------------------------------------------

    def training_step(self, batch: int, batch_idx: int) -> None:  # noqa: ARG002 - a batch is only a tick
        """One trial on each rank; after the last of a round the sampler learns."""
        first = self.sampler.told
        with isolated_numerics():
            if not self._proposals:
                self._begin_round(first)
            index = self._step_in_round * self.trainer.world_size + self.global_rank
            if index < self.round_size:
                trial = self.runner.trial(first + index, self._proposals[index], first)
                if self.sampler.objectives is not None:
                    self.sampler.objectives.point_of(trial)  # a metric that is missing shows with the first child
                if trial.reward is not None:
                    self.log("search/reward", trial.reward, prog_bar=True, logger=False, batch_size=1)
            self._step_in_round += 1
            if self._step_in_round == self._steps_per_round:
                self._finish_round(first)
        self._optimizers[0].step()

    def _job(self, number: int, proposal: Proposal, first: int) -> Job:
        seed, folder = derive_seed(self.seed, "child", number), self.runner.file.path.parent
        return Job(number, proposal, self.space, self.skeleton, self.task, seed, self.device, folder, first)

    @property
    def _optimizers(self) -> list[LightningOptimizer]:
        found = self.optimizers()
        return cast("list[LightningOptimizer]", found if isinstance(found, list) else [found])

    def _begin_round(self, first: int) -> None:
        self._proposals = self.sampler.ask(self.round_size, generator=generator(self.seed, "ask", first))
        if self.global_rank == 0:
            self.evaluator.start_round(first, self.round_size, self.runner.file.path.parent)
        cast(Exchange, self._exchange).gather(None)  # nobody begins before it is ready

    def _finish_round(self, first: int) -> None:
        """Every rank learns the same from all trials of the round."""
        own = range(self.global_rank, self.round_size, self.trainer.world_size)
        mine = [self.runner.trial(first + index, self._proposals[index], first) for index in own]
        gathered = cast(Exchange, self._exchange).gather(mine)
        trials = sorted((trial for some in gathered for trial in some), key=lambda trial: trial.id)
        self.runner.keep(trials, write=self.global_rank == 0)
        for loss in self.sampler.losses(trials):
            self._step(loss)
        self.sampler.tell(trials)
        self._step_in_round, self._proposals = 0, []
        self._note(trials)

    def _step(self, loss: Tensor) -> None:
        parameters = [p for p in self.sampler.parameters() if p.requires_grad]
        found = average_tensors(gradients(loss, parameters), self.trainer.strategy)
        for parameter, gradient in zip(parameters, found, strict=True):
            parameter.grad = gradient
        self._optimizers[1].optimizer.step()

    def _note(self, trials: Sequence[Trial]) -> None:
        """Keep the best, log the round, and stop if there is a reason to.

        Raises:
            TooManyFailuresError: `max_failures` children in a row have failed.
        """
        for trial in trials:
            self.progress.note(trial, again=trial.id in self._found)
            self._log_trial(trial)
            self.progress.check_failures(self.runner.file.path)
        if self.max_seconds is not None and self.spent >= self.max_seconds:
            self.trainer.should_stop = True

    def _log_trial(self, trial: Trial) -> None:
        figures = {"seconds": trial.seconds, "failed": float(trial.status == "failed"), **self.sampler.figures()}
        figures |= {name: trial.metrics[name] for name in self.costing.costs if name in trial.metrics}
        if self.costing.limits:
            figures["refused"] = float(trial.status == "refused")
        if trial.reward is not None:
            figures["reward"] = trial.reward
        if self.best is not None and self.best.reward is not None:
            figures["best"] = self.best.reward
            self.log("search/best", self.best.reward, prog_bar=True, logger=False, batch_size=1)
        for logger in self.trainer.loggers:
            logger.log_metrics({f"search/{name}": value for name, value in figures.items()}, step=trial.id)

    def on_train_end(self) -> None:
        """Say how long ranks have waited for each other.

        Raises:
            NothingFitsError: every child was over a limit.
        """
        refused = [trial.genotype for trial in self.runner.known.values() if trial.status == "refused"]
        if self.best is None and refused:
            raise nothing_fits(self.costing, refused)
        if self._exchange is not None and self._exchange.ranks > 1:
            shares = self._exchange.waiting()
            each = ", ".join(f"rank {rank}: {share:.0%}" for rank, share in enumerate(shares))
            mean = sum(shares) / len(shares)
            rank_zero_info(f"Ranks waited {mean:.0%} of the time for the slowest child of a round ({each}).")

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        file = "" if self._runner is None else str(self._runner.file.path.absolute())
        checkpoint[_STATE] = {**self.progress.to_dict(), "tick": self._step_in_round, "file": file}

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        state = checkpoint[_STATE]
        self.progress.restore(state)
        self._step_in_round, self._earlier_file = state["tick"], state["file"]
