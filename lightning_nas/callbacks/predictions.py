"""Predictions as a file that a spreadsheet opens."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lightning_nas.runtime.files import write_atomically


class WritePredictions(Callback):
    """Writes what `Trainer.predict` gives as CSV: file, class, probability of that class.

    The data module names the files (`predict_files`) and, if it knows them, the classes (`class_names`). A batch is
    (images, positions in `predict_files`). Data of another form is left alone.

    Args:
        filename: where to write; a relative path counts from the working directory. An existing file is replaced.
    """

    def __init__(self, filename: str = "predictions.csv") -> None:
        self.filename = filename
        self._rows: dict[int, tuple[int, float]] = {}

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._rows = {}

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not self._applies(trainer) or not isinstance(outputs, Tensor):
            return
        probability, index = outputs.float().max(-1)
        for position, row in zip(
            batch[1].tolist(), zip(index.tolist(), probability.tolist(), strict=True), strict=True
        ):
            self._rows[position] = row

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._applies(trainer):
            return
        rows = self._gathered(trainer)
        if trainer.is_global_zero:
            data = trainer.datamodule  # type: ignore[attr-defined]
            names = getattr(data, "class_names", None)
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(("file", "class", "probability"))
            for position in sorted(rows):
                index, probability = rows[position]
                name = names[index] if names else index
                writer.writerow((data.predict_files[position], name, f"{probability:.6f}"))
            path = write_atomically(Path(self.filename), text.getvalue())
            rank_zero_info(f"Wrote {len(rows)} predictions to {path}")

    @staticmethod
    def _applies(trainer: Trainer) -> bool:
        return hasattr(trainer.datamodule, "predict_files")  # type: ignore[attr-defined]

    def _gathered(self, trainer: Trainer) -> dict[int, tuple[int, float]]:
        if trainer.world_size == 1:
            return self._rows
        parts: list[dict[int, tuple[int, float]]] = [{} for _ in range(trainer.world_size)]
        torch.distributed.all_gather_object(parts, self._rows)
        return {position: row for part in parts for position, row in part.items()}
