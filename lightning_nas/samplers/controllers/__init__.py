"""Controllers: samplers that learn a policy over decisions by gradients."""

from lightning_nas.samplers.controllers.base import Controller
from lightning_nas.samplers.controllers.logits import LogitsController
from lightning_nas.samplers.controllers.lstm import LstmController
from lightning_nas.samplers.controllers.rules import PolicyRule, Ppo, Reinforce, Scores

__all__ = ["Controller", "LogitsController", "LstmController", "PolicyRule", "Ppo", "Reinforce", "Scores"]
