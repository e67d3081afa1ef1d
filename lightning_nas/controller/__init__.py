"""Controllers: samplers that learn a policy over decisions by gradients."""

from lightning_nas.controller.base import Controller
from lightning_nas.controller.logits import LogitsController
from lightning_nas.controller.lstm import LstmController
from lightning_nas.controller.rules import PolicyRule, Ppo, Reinforce, Scores

__all__ = ["Controller", "LogitsController", "LstmController", "PolicyRule", "Ppo", "Reinforce", "Scores"]
