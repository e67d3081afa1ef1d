"""`lightning-nas fit|validate|test|predict`: LightningCLI with the classes of this package by short name."""

from __future__ import annotations

import warnings
from typing import Any

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from typing_extensions import override

import lightning_nas.data
import lightning_nas.methods
import lightning_nas.spaces  # noqa: F401 - a class is known by its short name once it is imported
from lightning_nas.callbacks import WritePredictions


class NasCLI(LightningCLI):
    """Models, data and callbacks are named by `class_path` and `init_args`; the names of this package need no path.

    Args:
        args: command line words, or a configuration as a dictionary; None takes the process's command line.
        run: with subcommands, and run the one that is named.
        **kwargs: as in LightningCLI.
    """

    def __init__(self, args: ArgsType = None, run: bool = True, **kwargs: Any) -> None:
        super().__init__(
            LightningModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_kwargs={"overwrite": True},  # a resumed run meets the config it wrote itself
            auto_configure_optimizers=False,  # an --optimizer that no search reads would be ignored silently
            args=args,
            run=run,
            **kwargs,
        )

    @override
    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_lightning_class_args(WritePredictions, "predictions")

    @override
    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        with warnings.catch_warnings():
            # Lightning takes arguments beside a command line for a mistake; `lightning-nas` hands both on knowingly.
            warnings.filterwarnings("ignore", "LightningCLI's args parameter")
            super().parse_arguments(parser, args)

    @override
    def _parse_ckpt_path(self) -> None:
        """Take the model as the config gives it: a checkpoint's arguments would be mixed in without their class."""
