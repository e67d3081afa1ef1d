"""The family of searches in which all children are paths of one supernet."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from typing_extensions import override

from lightning_nas.architecture.edges import Architecture
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.costs import Budget
from lightning_nas.evaluators.path_score import Path, evaluating, score_path
from lightning_nas.execution.settings import Execution
from lightning_nas.functional.gradients import gradients
from lightning_nas.inheritance.recalibration import training_batches
from lightning_nas.networks.skeleton import NetworkOutput, Skeleton
from lightning_nas.runtime.memory import defer_garbage_collection
from lightning_nas.runtime.parallel import average_tensors
from lightning_nas.runtime.seeding import generator, isolated_numerics, preserve_random_state
from lightning_nas.samplers import Sampler
from lightning_nas.search.budget import check_budget, check_reward, fitting, nearest, nothing_fits
from lightning_nas.search.checks import check_limits, check_phases
from lightning_nas.search.derivation import Derivation
from lightning_nas.search.supernet import SupernetSearch
from lightning_nas.spaces.base import SupernetSpace
from lightning_nas.training.module import log_step
from lightning_nas.training.optimizer import Sgd
from lightning_nas.training.task import Task
from lightning_nas.trials.reward import MetricReward, Reward
from lightning_nas.trials.store import write_candidates
from lightning_nas.trials.trial import Evaluation, Proposal, Trial, best_trials

_STATE = "weight_sharing"
Phase = Literal["train", "val"]


class WeightSharingSearch(SupernetSearch):
    """Trains one supernet on sampled paths; the sampler learns from what paths with these weights are worth.

    An epoch has two phases, which the data module `Phased` makes: batches that train the weights, each on one path, and
    batches of other images that each give one path its reward. After `round_size` of them the sampler learns. Only the
    path that was drawn runs. The result is derived from validation images: see `Derivation`. All scored candidates are
    written to `candidates/epoch_<n>.csv` in the log folder and shown in TensorBoard.

    What a path costs is among its metrics, under the names of the budget's costs. Weights are trained, and candidates
    scored, on paths that keep the limits alone: the sampler is asked again for what does not (Guo et al., ECCV 2020,
    sample uniformly under a constraint). One that it draws to learn from is refused instead of scored.

    Args:
        sampler: draws the paths and learns.
        skeleton: sizes of the supernet.
        derivation: how the result is chosen; None is the best of ten paths on one batch.
        reward: from the accuracy of a path on a batch to what the sampler learns from; None is the accuracy itself.
        task: as in `SupernetSearch`.
        optimizer: as in `SupernetSearch`.
        clip: as in `SupernetSearch`.
        epochs: as in `SupernetSearch`.
        round_size: rewards that the sampler learns from at once.
        budget: costs that are reported, and limits that the result keeps; None: none.
        execution: as in `SupernetSearch`.

    Raises:
        ValueError: an argument is out of range, or the sampler's space has no supernet.

    Example:
        >>> from lightning_nas import StagedSkeleton, UniformSampler
        >>> from lightning_nas.spaces import NasBench201Space
        >>> skeleton = StagedSkeleton(channels=4, cells_per_stage=1)
        >>> search = WeightSharingSearch(UniformSampler(NasBench201Space()), skeleton, Derivation(candidates=100))
        >>> search.derive() in search.space
        True
    """

    def __init__(
        self,
        sampler: Sampler,
        skeleton: Skeleton,
        derivation: Derivation | None = None,
        reward: Reward | None = None,
        task: Task | None = None,
        optimizer: Sgd = Sgd(),
        clip: float | None = 5.0,
        epochs: int | None = None,
        round_size: int = 10,
        budget: Budget | None = None,
        execution: Execution = Execution(),
    ) -> None:
        if not isinstance(sampler.space, SupernetSpace):
            raise ValueError(
                f"{type(self).__name__}: {type(sampler.space).__name__} has no supernet whose weights children could "
                "share: give a SupernetSpace, or train children one by one."
            )
        if round_size < 1:
            raise ValueError(f"{type(self).__name__}(round_size={round_size}): give at least 1.")
        super().__init__(sampler.space, skeleton, task, optimizer, clip, epochs, budget, execution)
        self.sampler, self.derivation = sampler, derivation or Derivation()
        self.reward, self.round_size = reward or MetricReward(), round_size
        self.candidates: tuple[Trial, ...] = ()
        """What the last derivation has scored, the best first."""
        self._round: list[tuple[Genotype, Tensor]] = []
        self._scoring: ExitStack | None = None
        self._batches: list[Any] = []

    # --- what is searched -------------------------------------------------------------------------------------------

    def sample(self, purpose: str, number: int, count: int = 1, attempt: int = 0) -> list[Proposal]:
        """Paths for a purpose in a batch: the same on all ranks, and when they are asked for again.

        Args:
            purpose: what for.
            number: of the batch.
            count: how many.
            attempt: 1, 2, ... give others.
        """
        return self._ask(self.sampler, count, attempt, "path", purpose, self.current_epoch, number)

    def _ask(self, sampler: Sampler, count: int, attempt: int, *keys: int | str) -> list[Proposal]:
        again = [attempt] if attempt else []
        with isolated_numerics():
            return sampler.ask(count, generator=generator(self.seed, *keys, *again))

    def draw(self, purpose: str, batch_idx: int) -> Architecture:
        """A path within the limits, or of many the one that misses them least."""
        found = nearest(lambda attempt: self.sample(purpose, batch_idx, attempt=attempt), self.costing)
        return self.space.path(found.genotype)

    def derive(self) -> Genotype:
        """The best candidate of the last derivation; before the first one a path of the sampler's."""
        if self.candidates:
            return self.candidates[0].genotype
        return nearest(lambda attempt: self._ask(self.sampler, 1, attempt, "derive"), self.costing).genotype

    # --- training ---------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        """Refuse data of another form, limits that nothing keeps, and a reward without its costs.

        Raises:
            MisconfigurationException: names the argument, its value and the remedy.
        """
        super().setup(stage)
        check_budget(type(self).__name__, self.costing, ranks=self.trainer.world_size)
        check_reward(self.reward, self.costing)

    def on_fit_start(self) -> None:
        """Refuse data without the two phases, phases that do not fit the sampler, and a fit without validation.

        Raises:
            MisconfigurationException: names the argument, its value and the remedy.
        """
        self.trainer.fit_loop.setup_data()
        check_phases(type(self).__name__, self.trainer, self.sampler)
        check_limits(type(self).__name__, self.trainer)

    def training_step(self, batch: Mapping[Phase, Any], batch_idx: int) -> None:
        ((phase, part),) = batch.items()
        self.check_batch(part, phase)
        optimizers = self.optimizers()
        weights, *own = optimizers if isinstance(optimizers, list) else [optimizers]
        size = len(self.task.inputs(part))
        with defer_garbage_collection(), self.explain_out_of_memory(size):
            if phase == "train":
                self._stop_scoring()
                loss = self.weight_step(part, batch_idx, weights)
                self.guard_loss(loss, batch_idx)
                log_step(self, "train/loss", loss, size, prog_bar=True)
                return
            self._score(part, batch_idx)
        last = batch_idx + 1 == self.trainer.num_training_batches
        if len(self._round) == self.round_size or last:
            self._learn(own[0].optimizer)
        weights.zero_grad()
        weights.step()  # moves nothing, and makes `global_step` count batches

    @override
    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        # Validation notes which modules train before any hook could say so, and restores that.
        every = self.trainer.val_check_batch
        if not isinstance(every, (int, float)) or (batch_idx + 1) % every == 0:
            self._stop_scoring()

    def _score(self, batch: Any, batch_idx: int) -> None:
        """The accuracy of one path on one batch, with the batch's statistics, as the authors of ENAS have it."""
        if self._scoring is None:  # once a phase: it goes through all modules
            self._scoring = ExitStack()
            self._scoring.enter_context(evaluating(self.supernet, "batch"))
        proposal = self.sample("sampler", batch_idx)[0]
        if not self.costing.fits(proposal.genotype):
            self._round.append((proposal.genotype, torch.zeros((), device=self.device)))
            return
        path = Path(self.supernet, self.space.path(proposal.genotype))
        self._round.append((proposal.genotype, score_path(path, [batch], self.task, self.skeleton, self.inputs)))

    def _stop_scoring(self) -> None:
        if self._scoring is not None:
            self._scoring.close()
            self._scoring = None

    def _learn(self, optimizer: torch.optim.Optimizer) -> None:
        """The sampler learns from a round; all ranks the same, from the mean of their accuracies."""
        genotypes, scores = zip(*self._round, strict=True)
        trials = self._trials([Proposal(genotype) for genotype in genotypes], self._averaged(scores))
        parameters = [p for p in self.sampler.parameters() if p.requires_grad]
        with isolated_numerics():
            for loss in self.sampler.losses(trials):
                found = average_tensors(gradients(loss, parameters), self.trainer.strategy)
                for parameter, gradient in zip(parameters, found, strict=True):
                    parameter.grad = gradient
                optimizer.step()
            self.sampler.tell(trials)
        self._round = []
        rewards = [trial.reward for trial in trials if trial.reward is not None]
        if rewards:
            self.log("search/reward", sum(rewards) / len(rewards), prog_bar=True, batch_size=1)
        if self.costing.limits:
            self.log("search/refused", 1.0 - len(rewards) / len(trials), batch_size=1)
        for name, value in self.sampler.figures().items():
            self.log(f"search/{name}", value, batch_size=1)

    def _averaged(self, scores: Sequence[Tensor]) -> list[float]:
        """Scores of a round as the mean over ranks, in one copy to the host."""
        found: list[float] = average_tensors([torch.stack(list(scores)).float()], self.trainer.strategy)[0].tolist()
        return found

    def _trials(self, proposals: Sequence[Proposal], scores: Sequence[float], first: int | None = None) -> list[Trial]:
        first = self.sampler.told if first is None else first
        return [
            self._trial(number, proposal, score)
            for number, (proposal, score) in enumerate(zip(proposals, scores, strict=True), start=first)
        ]

    def _trial(self, number: int, proposal: Proposal, score: float) -> Trial:
        costs, refusal = self.costing.figures(proposal.genotype), self.costing.refusal(proposal.genotype)
        if refusal:
            return Trial(number, proposal, self.seed, "refused", None, 0.0, costs, reason=refusal)
        metrics = {f"val/{self.task.metric_name}": score, **costs}
        return Trial(number, proposal, self.seed, "complete", self.reward(Evaluation(metrics)), 0.0, metrics)

    def on_train_epoch_end(self) -> None:
        self._stop_scoring()
        super().on_train_epoch_end()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        weights = self.optimizer.build(self.supernet.parameters(), fused=True)
        optimizers: list[torch.optim.Optimizer] = [weights]
        parameters = [p for p in self.sampler.parameters() if p.requires_grad]
        if parameters and self.sampler.optimizer is not None:
            optimizers.append(self.sampler.optimizer.build(parameters))
        return optimizers, [self.optimizer.scheduler(weights, self.horizon)]

    # --- validation and derivation ----------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        self._batches = []
        super().on_validation_epoch_start()

    @override
    def validation_step(self, batch: Any, batch_idx: int) -> None:
        if len(self._batches) < self.derivation.batches:
            self._batches.append(batch)
        super().validation_step(batch, batch_idx)

    def validate_supernet(self, inputs: Tensor, batch_idx: int) -> NetworkOutput:
        """What a path gives that is drawn anew, with the batch's own statistics."""
        with evaluating(self.supernet, "batch"):
            return super().validate_supernet(inputs, batch_idx)

    def on_validation_epoch_end(self) -> None:
        """Derive the result, where it is due.

        Raises:
            NothingFitsError: no path that keeps the limits was found.
        """
        batches, self._batches = self._batches, []
        trainer = self.trainer
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        epochs = trainer.max_epochs or self.horizon
        if not self.derivation.is_due(self.current_epoch, epochs):
            return
        found = tuple(best_trials(self._candidates(batches), self.derivation.candidates))
        if found:
            self.candidates = found
            write_candidates(trainer, self.space, self.candidates, self.current_epoch)
        elif not self.candidates and self.current_epoch + 1 == epochs:
            raise nothing_fits(self.costing, [self.derive()])

    def _candidates(self, batches: Sequence[Any]) -> list[Trial]:
        settings = self.derivation
        sampler = copy.deepcopy(settings.sampler) or self.sampler
        training: list[Any] = []
        if settings.statistics == "recalibrated":
            with preserve_random_state(self.trainer):
                training = list(training_batches(self.trainer, self, settings.recalibrate))
        found: list[Trial] = []
        with evaluating(self.supernet, settings.statistics), isolated_numerics():
            while len(found) < settings.candidates and (proposals := self._within(sampler, len(found))):
                paths = [Path(self.supernet, self.space.path(proposal.genotype)) for proposal in proposals]
                scores = [self._path_score(path, batches, training) for path in paths]
                trials = self._trials(proposals, self._averaged(scores), len(found))
                if settings.sampler is not None:
                    sampler.tell(trials)
                found += trials
        return found

    def _within(self, sampler: Sampler, first: int) -> list[Proposal]:
        """A round of candidates that keep the limits; fewer where the sampler finds no more."""
        count, keys = self.derivation.round_size, ("candidates", self.current_epoch, first)
        return fitting(lambda attempt: self._ask(sampler, count, attempt, *keys), self.costing, count)

    def _path_score(self, path: Path, batches: Sequence[Any], training: Sequence[Any]) -> Tensor:
        return score_path(path, batches, self.task, self.skeleton, self.inputs, training)

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[_STATE] = {
            "candidates": [trial.to_dict() for trial in self.candidates],
            "round": [[genotype.to_dict(), float(score)] for genotype, score in self._round],
        }

    def on_load_checkpoint(self, checkpoint: Mapping[str, Any]) -> None:
        state = checkpoint[_STATE]
        self.candidates = tuple(Trial.from_dict(trial) for trial in state["candidates"])
        self._round = [(Genotype.from_dict(plain), torch.tensor(score)) for plain, score in state["round"]]
