"""`lightning-nas fit|validate|test|predict`: LightningCLI with the classes of this package by short name."""

from __future__ import annotations

import traceback
import warnings
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, _InstantiatorFn
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.model_helpers import is_overridden
from typing_extensions import override

import lightning_nas.data
import lightning_nas.methods
import lightning_nas.spaces
from lightning_nas.callbacks import WritePredictions


def own_refusal(error: BaseException) -> BaseException | None:
    """The error of this package inside those that the parser has put around it; None if there is none."""
    package = str(Path(lightning_nas.__file__).parent)
    found, current = None, error.__cause__ or error.__context__
    while current is not None:
        frames = traceback.extract_tb(current.__traceback__)
        if frames and frames[-1].filename.startswith(package):
            found = current
        current = current.__cause__ or current.__context__
    return found


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
            subclass_mode_model=True,  # data may be any class as well, and is not required: see below
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
    def _add_instantiators(self) -> None:
        """Record the config of the model alone: a data module inside the model would be given that of `data`."""
        # Lightning adds one for data too, which also fails where there is no `data`. (parser.add_instantiator has no
        # counterpart that removes one.)
        self.parser.add_instantiator(_InstantiatorFn(cli=self, key="model"), LightningModule, subclasses=True)

    @override
    def instantiate_classes(self) -> None:
        """Construct everything; what a constructor of this package refuses is said in its own words alone.

        Raises:
            MisconfigurationException: a constructor has refused its arguments, or a model without data of its own gets
                none. (A search that trains children has them.)
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            refusal = own_refusal(error)
            if refusal is None:
                raise
            raise MisconfigurationException(str(refusal)) from error
        if self.datamodule is None and not is_overridden("train_dataloader", self.model):
            raise MisconfigurationException(
                f"data is missing: {type(self.model).__name__} needs a data module. Add `data` with its class_path to "
                "the config, or --data CLASS to the command."
            )

    @override
    def _parse_ckpt_path(self) -> None:
        """Take the model as the config gives it: a checkpoint's arguments would be mixed in without their class."""
