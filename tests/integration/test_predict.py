"""`lightning-nas fit`, `test` and `predict` on a user's own folder of images."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from lightning_nas.__main__ import main
from lightning_nas.spaces import NasBench201Space

GENOTYPE = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"


def draw(root: Path, name: str, count: int, rng: np.random.Generator) -> None:
    """Colour images: reddish for `warm`, bluish for `cold`."""
    (root / name).mkdir(parents=True)
    for index in range(count):
        pixels = rng.integers(0, 90, (12, 12, 3), dtype=np.uint8)
        pixels[..., 0 if name == "warm" else 2] += 150
        Image.fromarray(pixels).save(root / name / f"{name}{index}.png")


@pytest.mark.slow
def test_own_folder_from_fit_to_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for name in ("cold", "warm"):
        draw(tmp_path / "images", name, 40, rng)
        draw(tmp_path / "new", name, 3, rng)
    skeleton = {"class_path": "StagedSkeleton", "init_args": {"channels": 4, "cells_per_stage": 1, "classes": 2}}
    space = NasBench201Space()
    config = {
        "seed_everything": 0,
        "model": {
            "class_path": "NetworkTraining",
            "init_args": {
                "space": {"class_path": "NasBench201Space"},
                "genotype": space.parse(GENOTYPE).to_dict(),
                "skeleton": skeleton,
            },
        },
        "data": {
            "class_path": "ImageFolder",
            "init_args": {
                "root": str(tmp_path / "images"),
                "batch_size": 16,
                "predict_root": str(tmp_path / "new"),
            },
        },
        "trainer": {
            "max_epochs": 6,
            "accelerator": "cpu",
            "default_root_dir": str(tmp_path),
            "logger": {"class_path": "TensorBoardLogger", "init_args": {"save_dir": str(tmp_path), "version": "one"}},
            "callbacks": [
                {"class_path": "ModelCheckpoint", "init_args": {"dirpath": str(tmp_path), "save_last": True}}
            ],
            "enable_progress_bar": False,
        },
    }
    file = tmp_path / "config.in.yaml"
    file.write_text(yaml.safe_dump(config))
    monkeypatch.chdir(tmp_path)
    main(["fit", "--config", str(file)])
    checkpoint = str(tmp_path / "last.ckpt")
    main(["test", "--config", str(file), "--ckpt_path", checkpoint])
    main(["predict", "--config", str(file), "--ckpt_path", checkpoint, "--predictions.filename", "out.csv"])
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [Path(row["file"]).name for row in rows] == [f"{n}{i}.png" for n in ("cold", "warm") for i in range(3)]
    assert all(0.5 <= float(row["probability"]) <= 1.0 for row in rows)
    assert [row["class"] for row in rows] == ["cold"] * 3 + ["warm"] * 3
