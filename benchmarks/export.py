"""Networks of every space, trained for a moment on CIFAR-10 images, exported in both formats, compared on 100 images.

    python benchmarks/export.py --root cifar10 --output benchmarks/results/export.json

The root has `train` and `test` with a folder of images for each class. The inference times are those of the original
network and of the ONNX file in onnxruntime, in turn, on one CPU thread.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import onnxruntime
import torch
from harness import interleaved, median_ratio, prepare, record

from lightning_nas import Genotype, NetworkTraining, SearchSpace, Skeleton, export_network
from lightning_nas.data import ImageFolder
from lightning_nas.runtime.seeding import generator
from lightning_nas.spaces import NasBench201Space, published
from lightning_nas.testing import SMALL_SPACES


def wide(name: str, **sizes: Any) -> tuple[SearchSpace, Skeleton]:
    """A small space on a skeleton for CIFAR-10, as wide as searches have it."""
    space, skeleton, _ = SMALL_SPACES[name]
    return space, replace(skeleton, channels=16, in_channels=3, classes=10, **sizes)


SPACES: dict[str, tuple[SearchSpace, Skeleton]] = {
    "DartsSpace": wide("DartsSpace", cells=5, auxiliary=True),
    "DartsSpace, fixed reduction": wide("DartsSpace-fixed", cells=5),
    "NasBench201Space": wide("NasBench201Space", cells_per_stage=2),
    "NasnetSpace": wide("NasnetSpace-auxiliary", cells=5),
    "EnasMicroSpace": wide("EnasMicroSpace", cells=5),
    "EnasMacroSpace, add": wide("EnasMacroSpace"),
    "EnasMacroSpace, concatenate": wide("EnasMacroSpace-concatenate"),
    "ConvChainSpace": wide("ConvChainSpace-tiny"),
}
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"


def genotype_of(space: SearchSpace, name: str) -> Genotype:
    """A sampled one; where samples may be all zeros or skips, one that is not."""
    if isinstance(space, NasBench201Space):
        return space.parse(CELL)
    return published("DARTS_V2")[1] if name == "DartsSpace" else space.sample(generator(0, "export"))


def measure(name: str, data: ImageFolder, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One space: train, export in both formats from the checkpoint, time."""
    L.seed_everything(arguments.seed, verbose=False)
    space, skeleton = SPACES[name]
    training = NetworkTraining(space, genotype_of(space, name), skeleton)
    trainer = L.Trainer(
        accelerator="cpu", max_epochs=1, limit_train_batches=arguments.batches, limit_val_batches=0,
        num_sanity_val_steps=0, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(training, data)
    checkpoint = folder / "network.ckpt"
    trainer.save_checkpoint(checkpoint, weights_only=False)
    result: dict[str, Any] = {"parameters": sum(weight.numel() for weight in training.parameters())}
    for suffix in ("onnx", "pt2"):
        output = folder / f"network.{suffix}"
        output.unlink(missing_ok=True)
        output.with_suffix(".json").unlink(missing_ok=True)
        begin = time.perf_counter()
        report = export_network(checkpoint, output, data=data)
        result[suffix] = {
            "difference": report.difference,
            "images": report.images,
            "bytes": output.stat().st_size,
            "seconds": time.perf_counter() - begin,
        }
    return result | {"inference": inference(training, folder / "network.onnx", arguments.rounds)}


def inference(training: NetworkTraining, file: Path, rounds: int) -> dict[str, Any]:
    """Seconds of a batch of one and of 32 images, in torch and in onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    training.eval()
    found = {}
    for batch in (1, 32):
        images = torch.randn(batch, 3, 32, 32)
        with torch.inference_mode():
            run = partial(session.run, None, {"images": images.numpy()})
            seconds = interleaved({"torch": partial(training, images), "onnxruntime": run}, rounds)
        medians = {side: statistics.median(values) for side, values in seconds.items()}
        found[f"batch {batch}"] = medians | {"ratio": median_ratio(seconds["torch"], seconds["onnxruntime"])}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="folder of images with train and test")
    parser.add_argument("--spaces", nargs="*", choices=list(SPACES), default=list(SPACES))
    parser.add_argument("--batches", type=int, default=8, help="of 64 images, to train each network with")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    prepare(threads=1)
    numbers: dict[str, Any] = {"mean": [0.4914, 0.4822, 0.4465], "std": [0.2470, 0.2435, 0.2616]}
    # streamed, so that the few images needed are all that is read
    data = ImageFolder(arguments.root, batch_size=64, size=32, memory_limit_gb=0, workers=0, **numbers)
    results = {}
    print("space, parameters | format: difference, KB, seconds | seconds of 1 and 32 images, torch / onnxruntime")
    for name in arguments.spaces:
        with tempfile.TemporaryDirectory() as folder:
            found = results[name] = measure(name, data, arguments, Path(folder))
        exports = {suffix: found[suffix] for suffix in ("onnx", "pt2")}
        parts = [f"{k}: {e['difference']:.1e} {e['bytes'] / 1e3:6.0f} {e['seconds']:5.1f}" for k, e in exports.items()]
        times = [f"{t['torch']:.4f} / {t['onnxruntime']:.4f} ({t['ratio']:.2f})" for t in found["inference"].values()]
        print(f"{name:28} {found['parameters']:10,} | {' | '.join([*parts, *times])}", flush=True)
    worst = max(found[suffix]["difference"] for found in results.values() for suffix in ("onnx", "pt2"))
    print(f"largest difference of all: {worst:.1e}")
    settings = {name: str(value) for name, value in vars(arguments).items() if name not in ("output", "root")}
    record("export", {"largest_difference": worst, "spaces": results}, settings, arguments.output)


if __name__ == "__main__":
    main()
