"""`lightning-nas run`: search, extract, stack, train and test in one command that goes on after a kill."""

from lightning_nas.chain.run import Chain, run_from_command_line

__all__ = ["Chain", "run_from_command_line"]
