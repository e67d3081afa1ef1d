"""`lightning-nas front`: from a front that a search has kept to the config of one network."""

from lightning_nas.front.choice import Condition, pick
from lightning_nas.front.command import front_from_command_line

__all__ = ["Condition", "front_from_command_line", "pick"]
