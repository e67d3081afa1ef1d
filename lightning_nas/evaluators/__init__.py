"""Evaluators: from a proposal to what it is worth."""

from lightning_nas.evaluators.base import Evaluator, Job, TableEvaluator
from lightning_nas.evaluators.fit import FitEvaluator
from lightning_nas.evaluators.supernet import SupernetEvaluator

__all__ = ["Evaluator", "FitEvaluator", "Job", "SupernetEvaluator", "TableEvaluator"]
