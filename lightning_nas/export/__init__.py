"""Networks as ONNX and as `torch.export` programs, to run where this package is not."""

from lightning_nas.export.formats import ExportError
from lightning_nas.export.run import ExportReport, export_network

__all__ = ["ExportError", "ExportReport", "export_network"]
