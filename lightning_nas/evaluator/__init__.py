"""Evaluators: from a proposal to what it is worth."""

from lightning_nas.evaluator.base import Evaluator, Job
from lightning_nas.evaluator.fit import FitEvaluator
from lightning_nas.evaluator.supernet import SupernetEvaluator
from lightning_nas.evaluator.table import TableEvaluator

__all__ = ["Evaluator", "FitEvaluator", "Job", "SupernetEvaluator", "TableEvaluator"]
