"""The faults that `seeded_faults.py` makes, in the order of the package's folders.

A text that is replaced occurs once in the package, in whichever file. A fault names the test files that should catch it
by their names alone, so files of both kinds may move.
"""

from __future__ import annotations

from dataclasses import dataclass

PACKAGE = "lightning_nas"


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        name: unique.
        wrong: what the package does wrong then.
        changes: pairs of a text and what replaces it. Where there are several, one checkout has one of them.
        tests: patterns of the names of test files; where a file has another name in one checkout, `one|other`.
        selected: which tests of these, as for `pytest -k`; all if empty.
    """

    name: str
    wrong: str
    changes: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]
    selected: str = ""


_TABLE = (
    # --- runtime -----------------------------------------------------------------------------------------------------
    Fault(
        "cut_line_stays",
        "the next trial is written behind what a kill has left of a line",
        (("        _remove_cut_line(file)\n", "        file.seek(0, os.SEEK_END)\n"),),
        ("test_trial_file*.py|trials/test_store.py",),
        "cut",
    ),
    Fault(
        "cut_line_is_a_trial",
        "the last line of the trials' file counts although a kill has cut it",
        (('return text.split("\\n")[:-1]', 'return [line for line in text.split("\\n") if line]'),),
        ("test_trial_file*.py|trials/test_store.py",),
        "cut",
    ),
    # --- functional --------------------------------------------------------------------------------------------------
    Fault(
        "second_order_sign",
        "the second-order correction is added instead of subtracted",
        (("[d - factor * c for d, c in", "[d + factor * c for d, c in"),),
        ("test_unrolled*.py|functional/test_gradients.py",),
        "exact",
    ),
    Fault(
        "second_order_scale",
        "the second-order correction is twice as large: the difference is taken for one-sided",
        (("factor = step.slope / (2 * radius)", "factor = step.slope / radius"),),
        ("test_unrolled*.py|functional/test_gradients.py",),
        "exact",
    ),
    Fault(
        "second_order_weights_stay_moved",
        "the weights are left at the last point of the finite difference",
        (("        _move(weights, origin_P)\n    difference", "        pass\n    difference"),),
        ("test_unrolled*.py|functional/test_gradients.py",),
        "bit_for_bit",
    ),
    Fault(
        "front_keeps_dominated",
        "a front keeps points that another equals in one objective and beats in the next",
        (
            (
                "if not any(all(a <= b for a, b in zip(points[i], candidate",
                "if not any(all(a < b for a, b in zip(points[i], candidate",
            ),
        ),
        ("test_pareto*.py",),
        "front",
    ),
    Fault(
        "hypervolume_counts_twice",
        "the hypervolume counts what several points dominate once for each",
        (("(reference[0] - first) * (height - second)", "(reference[0] - first) * (reference[1] - second)"),),
        ("test_pareto*.py",),
        "hypervolume",
    ),
    # --- data --------------------------------------------------------------------------------------------------------
    Fault(
        "augmentation_ignores_epoch",
        "an image is augmented alike in all epochs",
        (('generator(seed, "augment", name, epoch)', 'generator(seed, "augment", name)'),),
        ("test_data_modules*.py|data/test_modules.py",),
        "another_epoch",
    ),
    Fault(
        "validation_is_augmented",
        "validation images are augmented like training images",
        (("if trainer is not None and trainer.training:", "if trainer is not None:"),),
        ("test_data_modules*.py|data/test_modules.py",),
        "augmented",
    ),
    Fault(
        "phase_resumes_one_batch_late",
        "an epoch of two phases that is resumed leaves out one batch",
        (
            (
                '"""Go on behind them."""\n        self._position = state["position"]',
                '"""Go on behind them."""\n        self._position = state["position"] + 1',
            ),
        ),
        ("test_data_phased*.py|data/test_phased.py",),
        "goes_on",
    ),
    # --- architecture and spaces -------------------------------------------------------------------------------------
    Fault(
        "mutation_of_nothing",
        "a mutation may choose the option that was there",
        (("return drawn if drawn != option else self.options[-1]", "return drawn"),),
        ("test_spaces*.py",),
        "mutation_is_a_neighbour",
    ),
    Fault(
        "mutation_of_two",
        "a mutation changes a second decision too",
        (
            (
                "        old[chosen.name] = chosen.another(old[chosen.name], generator)\n",
                "        for chosen in {chosen, changeable[0]}:\n"
                "            old[chosen.name] = chosen.another(old[chosen.name], generator)\n",
            ),
        ),
        ("test_spaces*.py",),
        "mutation_is_a_neighbour",
    ),
    Fault(
        "none_is_extracted",
        "the DARTS space extracts `none` where it is the strongest candidate",
        (
            (
                "columns = [self.candidates.index(name) for name in self.operations]\n        choices",
                "columns = [self.candidates.index(name) for name in self.candidates]\n        choices",
            ),
        ),
        ("test_spaces_darts*.py|spaces/test_darts.py",),
        "extraction",
    ),
    Fault(
        "expected_cost_counts_none",
        "the expected cost takes candidates for as likely as they are beside `none`, which is never kept",
        (
            (
                'excluded = [column for column, name in enumerate(self.candidates) if name == "none"]',
                "excluded: list[int] = []",
            ),
        ),
        ("test_inclusion*.py",),
    ),
    Fault(
        "expected_cost_takes_all_skips",
        "the expected cost takes every skip for present",
        (
            (
                'without(probabilities["skips"], [SKIPS.index("absent")], False)',
                'without(probabilities["skips"], [SKIPS.index("absent")], True)',
            ),
        ),
        ("test_inclusion*.py",),
    ),
    # --- execution and networks --------------------------------------------------------------------------------------
    Fault(
        "joint_norm_keeps_statistics",
        "norms that run together do not move their running statistics",
        (("if not (norms[0].training and norms[0].track_running_stats):", "if norms[0].track_running_stats:"),),
        ("test_spaces*.py",),
        "NasBench201Space_tiny and execution_is_invisible",
    ),
    Fault(
        "joint_norm_biased_variance",
        "norms that run together move towards the variance of the batch, not of the sample",
        ((".mul_(size / (size - 1) if total is None else total / (total - 1))", ""),),
        ("test_spaces*.py",),
        "NasBench201Space_tiny and execution_is_invisible",
    ),
    Fault(
        "joint_convolutions_in_reverse",
        "convolutions that run together are put side by side in the reverse order of their edges",
        (
            (
                "return pointwise(x_BDhw, _cat([conv.weight for conv in convs]))",
                "return pointwise(x_BDhw, _cat([conv.weight for conv in convs[::-1]]))",
            ),
        ),
        ("test_spaces*.py",),
        "(DartsSpace_tiny or DartsSpace_imagenet) and execution_is_invisible",
    ),
    Fault(
        "batch_statistics_stay",
        "norms go on with each batch's statistics after `batch_statistics`",
        (("            norm.use_batch_statistics = False", "            norm.use_batch_statistics = True"),),
        ("test_skeleton*.py",),
        "batch_statistics",
    ),
    Fault(
        "checkpointed_cells_move_twice",
        "cells that are computed again move their running statistics again",
        (("return nullcontext(), _kept_buffers(cell)", "return nullcontext(), nullcontext()"),),
        ("test_spaces*.py",),
        "(DartsSpace_tiny or DartsSpace_imagenet) and checkpointing",
    ),
    Fault(
        "drop_path_without_scale",
        "drop path does not scale what it keeps",
        (("return x * (mask / keep)", "return x * mask"),),
        ("test_space*.py|spaces/test_*.py",),
        "drop_path_drops_samples",
    ),
    # --- training ----------------------------------------------------------------------------------------------------
    Fault(
        "clip_is_lost",
        "the final training clips at 5 whatever it was given",
        (('self.clip_gradients(optimizer, self.clip, "norm")', 'self.clip_gradients(optimizer, 5.0, "norm")'),),
        ("test_training*.py|training/test_network.py",),
        "clipping",
    ),
    Fault(
        "temperature_one_epoch_early",
        "schedules give each epoch the value of the next one",
        (
            (
                "self.value(trainer.current_epoch, self._horizon(pl_module))",
                "self.value(trainer.current_epoch + 1, self._horizon(pl_module))",
            ),
        ),
        ("test_callbacks_schedules*.py|training/test_schedules.py",),
    ),
    # --- samplers ----------------------------------------------------------------------------------------------------
    Fault(
        "evolution_mutates_the_worst",
        "evolution mutates the worst of its sample",
        (
            (
                "= max((self.members[position] for position in drawn)",
                "= min((self.members[position] for position in drawn)",
            ),
        ),
        ("test_samplers_*.py|samplers/test_*.py",),
        "best_of_the_sample",
    ),
    Fault(
        "halving_keeps_the_worst",
        "successive halving promotes the worst of a rung",
        (("key=lambda entry: (-entry[2], entry[0])", "key=lambda entry: (entry[2], entry[0])"),),
        ("test_samplers_halving*.py|samplers/test_halving.py",),
        "best_of_a_rung",
    ),
    Fault(
        "entropy_is_punished",
        "the entropy counts with the wrong sign in a controller's loss",
        (
            (
                "found = -self.entropy_weight * scores.entropy.mean()",
                "found = self.entropy_weight * scores.entropy.mean()",
            ),
        ),
        ("test_controllers_learning*.py",),
        "entropy",
    ),
    Fault(
        "baseline_of_its_own_round",
        "rewards are compared with a baseline that they have moved already",
        (
            (
                "        baseline = float(rewards.mean()) if self.baseline is None else self.baseline\n",
                "        self.tell(trials)\n        baseline = float(self.baseline or 0.0)\n",
            ),
        ),
        ("test_controllers_learning*.py",),
        "before_the_round",
    ),
    Fault(
        "baseline_is_forgotten",
        "a search that is resumed begins its controller's baseline anew",
        (
            (
                'self._average, self._weight, self._entropy = memory["average"], memory["weight"], memory["entropy"]',
                'self._average, self._weight, self._entropy = 0.0, 0.0, memory["entropy"]',
            ),
        ),
        ("test_multi_trial_resume*.py",),
        "exact and logits",
    ),
    # --- inheritance and evaluators ----------------------------------------------------------------------------------
    Fault(
        "cropped_from_the_end",
        "of more channels the last ones are inherited, not the first",
        (
            (
                "begin = (total - width) // 2 if dimension > 1 else 0",
                "begin = (total - width) // 2 if dimension > 1 else total - width",
            ),
        ),
        ("test_inheritance_transfer*.py|inheritance/test_transfer.py",),
        "cropped",
    ),
    Fault(
        "recalibration_with_momentum",
        "statistics that are computed anew forget the first batches",
        (("norm.momentum = None", "norm.momentum = 0.1"),),
        ("test_inheritance_transfer*.py|inheritance/test_transfer.py",),
        "statistics",
    ),
    Fault(
        "paths_scored_in_train_mode",
        "paths are scored with the supernet in train mode",
        (("    supernet.eval()\n", ""),),
        ("test_path_score*.py",),
        "recalibrated",
    ),
    # --- costs -------------------------------------------------------------------------------------------------------
    Fault(
        "macs_ignore_groups",
        "a grouped convolution counts as a full one",
        (
            (
                "return places.numel() * math.prod(weight.shape[1:]),",
                "return places.numel() * x.shape[1] * math.prod(weight.shape[2:]),",
            ),
        ),
        ("test_costs_counted*.py|costs/test_counted.py",),
        "half_of_what_torch_counts",
    ),
    Fault(
        "limit_the_wrong_way",
        "a limit is broken by what is below it",
        (
            (
                "for name, excess in over.items() if not excess <= 0}",
                "for name, excess in over.items() if not excess >= 0}",
            ),
        ),
        ("test_budget_children*.py",),
        "over_a_limit",
    ),
    # --- search and methods ------------------------------------------------------------------------------------------
    Fault(
        "epsilon_is_lost",
        "a search takes the finite difference at 0.01 whatever it was given",
        (
            (
                "self._virtual_step(weights, weight_optimizer.optimizer),\n                self.epsilon,",
                "self._virtual_step(weights, weight_optimizer.optimizer),\n                0.01,",
            ),
        ),
        ("test_unrolled*.py|functional/test_gradients.py",),
        "search_uses_it",
    ),
    Fault(
        "weight_decay_is_lost",
        "the second order looks ahead through a step without weight decay",
        (("s.momentum, s.weight_decay, s.nesterov, buffers", "s.momentum, 0.0, s.nesterov, buffers"),),
        ("test_unrolled*.py|functional/test_gradients.py",),
        "search_uses_it",
    ),
    Fault(
        "inactive_gradient_is_lost",
        "GDAS does not ask the space for the authors' choice",
        (
            (
                "inactive = space.inactive_gradient if inactive_gradient is None else inactive_gradient",
                "inactive = bool(inactive_gradient)",
            ),
        ),
        ("test_agreement_gdas*.py",),
        "defaults",
    ),
    Fault(
        "gradients_of_one_rank",
        "weights step on the gradients of their own rank alone",
        (("averaged = iter(average_tensors(took_part, self.trainer.strategy))", "averaged = iter(took_part)"),),
        ("test_ddp*.py",),
        "ranks_end_equal and darts1",
    ),
    Fault(
        "trial_resumes_one_late",
        "a search of children that is resumed within a round leaves out one child",
        (
            (
                'self._tick, self._earlier_file = state["tick"], state["file"]',
                'self._tick, self._earlier_file = state["tick"] + 1, state["file"]',
            ),
            (
                'self._step_in_round, self._earlier_file = state["tick"], state["file"]',
                'self._step_in_round, self._earlier_file = state["tick"] + 1, state["file"]',
            ),
        ),
        ("test_multi_trial_resume*.py",),
        "exact",
    ),
    Fault(
        "paths_ignore_batch",
        "all batches of an epoch draw the same path",
        (('"path", purpose, self.current_epoch, number)', '"path", purpose, self.current_epoch)'),),
        ("test_weight_sharing*.py",),
        "controller_learns",
    ),
    Fault(
        "refused_children_are_failures",
        "children over a limit count as failures and end the search",
        (
            (
                'trial.status != "refused":  # which says nothing of whether children can be trained\n'
                '            self.failures = [*self.failures, trial.reason] if trial.status == "failed" else []',
                "True:\n"
                '            self.failures = [*self.failures, trial.reason] if trial.status != "complete" else []',
            ),
        ),
        ("test_budget_children*.py",),
        "no_failures",
    ),
)
FAULTS = {fault.name: fault for fault in _TABLE}
