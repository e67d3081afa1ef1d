"""The error of exports."""

from lightning.pytorch.utilities.exceptions import MisconfigurationException


class ExportError(MisconfigurationException, ValueError):
    """A network that cannot be exported as asked; nothing was written."""
