"""The error of this package's data."""

from __future__ import annotations

from lightning.fabric.utilities.exceptions import MisconfigurationException


class DataError(MisconfigurationException, ValueError):
    """Data that cannot be used as asked: the text names the argument or file, its value and the remedy."""
