"""The full configs hold the papers' recipes: what is parsed from each file, against a table of published values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import Namespace

from helpers.parsed_configs import FILES, PARSING, ROOT, check, constructed, is_chain
from lightning_nas import Fidelity, MultiTrialSearch, RandomSearch, SupernetSpace, WeightSharingSearch
from lightning_nas.data import Phased

pytestmark = [pytest.mark.slow, *PARSING]
Recipe = dict[str, Any]

# Liu, Simonyan & Yang, "DARTS: Differentiable Architecture Search", ICLR 2019; https://github.com/quark0/darts.
DARTS_SGD = {"momentum": 0.9, "nesterov": False, "weight_decay": 3e-4, "schedule": "cosine", "warmup_epochs": 0}
ALPHA_ADAM = {"lr": 3e-4, "betas": (0.5, 0.999), "weight_decay": 1e-3}
# cnn/train_search.py and cnn/architect.py
DARTS_SEARCH: Recipe = {
    "model.space": {"nodes": 4, "reduction": "search"},
    "model.skeleton": {"cells": 8, "channels": 16, "stem_multiplier": 3, "auxiliary": False, "norm": None},
    "model.optimizer": DARTS_SGD | {"lr": 0.025, "lr_min": 0.001},
    "model.architecture_optimizer": ALPHA_ADAM,
    "model": {"clip": 5.0, "order": 1, "epochs": None},
    "data": {"fraction": 0.5},
    "data.datamodule": {"batch_size": 64, "validation": 0.0, "crop": 4, "flip": True, "cutout": 0},
    "trainer": {"max_epochs": 50},
}
# cnn/train.py
DARTS_RETRAIN: Recipe = {
    "genotype": "DARTS_V2",
    "model.skeleton": {"cells": 20, "channels": 36, "classes": 10, "stem": "cifar", "auxiliary": True},
    "model.optimizer": DARTS_SGD | {"lr": 0.025, "lr_min": 0.0},
    "model.task": {"auxiliary_weight": 0.4, "label_smoothing": 0.0},
    "model": {"clip": 5.0, "epochs": None},
    "data": {"batch_size": 96, "validation": 0.0, "crop": 4, "flip": True, "cutout": 16},
    "trainer": {"max_epochs": 600},
    "drop_path": 0.2,
}
# cnn/train_imagenet.py
DARTS_IMAGENET: Recipe = {
    "genotype": "DARTS_V2",
    "model.skeleton": {"cells": 14, "channels": 48, "classes": 1000, "stem": "imagenet", "auxiliary": True},
    "model.optimizer": {"lr": 0.1, "schedule": "exponential", "gamma": 0.97, "momentum": 0.9, "nesterov": False}
    | {"weight_decay": 3e-5, "warmup_epochs": 0},
    "model.task": {"auxiliary_weight": 0.4, "label_smoothing": 0.1},
    "model": {"clip": 5.0, "epochs": None},
    "data": {"batch_size": 128, "size": 224, "crop": 0, "resized_crop": 0.08, "flip": True, "jitter": 0.4},
    "trainer": {"max_epochs": 250},
    "drop_path": None,
}
# Dong & Yang, "Searching for a Robust Neural Architecture in Four GPU Hours", CVPR 2019, and "NAS-Bench-201", ICLR
# 2020; https://github.com/D-X-Y/AutoDL-Projects.
GDAS_SGD = {"momentum": 0.9, "nesterov": True, "schedule": "cosine"}
# configs/search-opts/GDAS-NASNet-CIFAR.config, scripts-search/GDAS-search-NASNet-space.sh
GDAS_SEARCH: Recipe = {
    "model.space": {"nodes": 4, "reduction": "search"},
    "model.skeleton": {"cells": 6, "channels": 16, "stem_multiplier": 3, "auxiliary": False, "pool_norm": False},
    "model.optimizer": GDAS_SGD | {"lr": 0.025, "lr_min": 0.001, "weight_decay": 5e-4, "warmup_epochs": 0},
    "model.architecture_optimizer": ALPHA_ADAM,
    "model": {"clip": 5.0, "inactive_gradient": False, "epochs": None},
    "data": {"fraction": 0.5},
    "data.datamodule": {"batch_size": 256, "validation": 0.0, "crop": 4, "flip": True, "cutout": 0},
    "trainer": {"max_epochs": 250},
    "temperature": (10.0, 0.1),
}
# configs/nas-benchmark/algos/GDAS.config, scripts-search/NAS-Bench-201-algos/GDAS.sh
GDAS_NASBENCH201: Recipe = GDAS_SEARCH | {
    "model.space": {"nodes": 4},
    "model.skeleton": {"cells_per_stage": 5, "channels": 16},
    "model.skeleton.norm": {"affine": False, "statistics": "batch"},
    "model": {"clip": 5.0, "inactive_gradient": True, "epochs": None},
    "data.datamodule": {"batch_size": 64, "validation": 0.0, "crop": 4, "flip": True, "cutout": 0},
}
# configs/opts/NAS-CIFAR.config, configs/archs/NAS-CIFAR-GDAS_V1.config, scripts/nas-infer-train.sh: no clipping
GDAS_RETRAIN: Recipe = {
    "genotype": "GDAS_V1",
    "model.skeleton": {"cells": 20, "channels": 36, "classes": 10, "stem": "cifar", "auxiliary": True},
    "model.optimizer": GDAS_SGD | {"lr": 0.025, "lr_min": 0.0, "weight_decay": 5e-4, "warmup_epochs": 5},
    "model.task": {"auxiliary_weight": 0.4, "label_smoothing": 0.0},
    "model": {"clip": None, "epochs": None},
    "data": {"batch_size": 96, "validation": 0.0, "crop": 4, "flip": True, "cutout": 16},
    "trainer": {"max_epochs": 300},
    "drop_path": 0.2,
}
# configs/opts/NAS-IMAGENET.config, configs/archs/NAS-IMAGENET-GDAS_V1.config
GDAS_IMAGENET: Recipe = {
    "genotype": "GDAS_V1",
    "model.skeleton": {"cells": 14, "channels": 50, "classes": 1000, "stem": "imagenet", "auxiliary": True},
    "model.optimizer": GDAS_SGD | {"lr": 0.1, "lr_min": 0.0, "weight_decay": 3e-5, "warmup_epochs": 5},
    "model.task": {"auxiliary_weight": 0.4, "label_smoothing": 0.1},
    "model": {"clip": None, "epochs": None},
    "data": {"batch_size": 256, "size": 224, "crop": 0, "resized_crop": 0.08, "flip": True, "jitter": 0.4},
    "trainer": {"max_epochs": 250},
    "drop_path": None,
}
# Zoph & Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, sections 3 and 4.1.
REINFORCE_SEARCH: Recipe = {
    "model.space": {"heights": (1, 3, 5, 7), "widths": (1, 3, 5, 7), "filters": (24, 36, 48, 64), "strides": (1,)}
    | {"depths": (6, 8, 10, 12, 14, 16, 18, 20)},
    "model.skeleton": {"channels": 64},
    "model.evaluator.datamodule": {"validation": 0.1},
    "model.evaluator.optimizer": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-4},
    "model": {"hidden": 35, "layers": 2, "init_range": 0.08, "trials": 12800, "round_size": 8},
    "model.optimizer": {"lr": 6e-4},
    "model.fidelity": {"epochs": 50, "share": 1.0, "cells": None},
    "model.reward": {"last": 5, "power": 3.0},
    "model.fixed": {1600 * step: {"depth": str(6 + 2 * step)} for step in range(8)},
}
# Zoph, Vasudevan, Shlens & Le, "Learning Transferable Architectures for Scalable Image Recognition", CVPR 2018, and
# https://github.com/tensorflow/models, research/slim/nets/nasnet.
NASNET_SEARCH: Recipe = {
    "model.space": {"blocks": 5},
    "model.skeleton": {"cells": 8, "channels": 32},
    "model.evaluator.datamodule": {"validation": 0.1},
    "model.evaluator.optimizer": {"momentum": 0.9, "schedule": "cosine"},
    "model": {"hidden": 100, "layers": 1, "init_range": 0.1, "trials": 20000, "round_size": 20},
    "model.optimizer": {"lr": 3.5e-4},
    "model.rule": {"entropy_weight": 1e-5, "baseline_decay": 0.95},
    "model.fidelity": {"epochs": 20, "share": 1.0, "cells": None},
}
NASNET_RETRAIN: Recipe = {
    "genotype": "NASNET_A",
    "model.skeleton": {"cells": 20, "channels": 32, "classes": 10, "stem": "cifar", "auxiliary": True},
    "model.optimizer": {"lr": 0.025, "lr_min": 0.0, "schedule": "cosine", "momentum": 0.9, "weight_decay": 5e-4},
    "model.task": {"auxiliary_weight": 0.4, "label_smoothing": 0.0},
    "model": {"clip": 5.0, "epochs": None},
    "data": {"batch_size": 32, "validation": 0.0, "crop": 4, "flip": True},
    "trainer": {"max_epochs": 600},
    "drop_path": 0.4,
}
NASNET_IMAGENET: Recipe = {
    "genotype": "NASNET_A",
    "model.skeleton": {"cells": 14, "channels": 44, "classes": 1000, "stem": "imagenet", "auxiliary": True},
    "model.optimizer": {"schedule": "exponential", "gamma": round(0.97 ** (1 / 2.4), 5), "weight_decay": 4e-5},
    "model.task": {"auxiliary_weight": 0.4, "label_smoothing": 0.1},
    "model": {"clip": 10.0, "epochs": None},
    "data": {"size": 224},
    "drop_path": None,
}
# Real, Aggarwal, Huang & Le, "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019.
EVOLUTION_SEARCH: Recipe = {
    "model.space": {"blocks": 5},
    "model.skeleton": {"cells": 11, "channels": 24},
    "model.evaluator.datamodule": {"validation": 0.1},
    "model": {"population": 100, "sample": 25, "trials": 20000},
    "model.fidelity": {"epochs": 25, "share": 1.0, "cells": None},
}
# Lu et al., "NSGA-Net: Neural Architecture Search using Multi-Objective Genetic Algorithm", GECCO 2019;
# https://github.com/ianwhale/nsga-net, search/evolution_search.py and search/train_search.py.
PARETO_SEARCH: Recipe = {
    "model.space": {"blocks": 5},
    "model.skeleton": {"cells": 11, "channels": 24, "auxiliary": False},
    "model.evaluator.datamodule": {"batch_size": 128, "crop": 4, "flip": True, "cutout": 0},
    "model.evaluator.optimizer": {"lr": 0.025, "momentum": 0.9, "weight_decay": 3e-4, "schedule": "cosine"},
    "model.evaluator": {"clip": 5.0},
    "model": {"population": 40, "crossover": 0.9, "mutation": None, "trials": 40 * 50, "round_size": None},
    "model.objectives": {"val/accuracy": "max", "macs": "min"},
    "model.fidelity": {"epochs": 25, "share": 1.0, "cells": None},
}
# Liu, Simonyan & Yang, "DARTS", ICLR 2019, section 3.3: random search.
RANDOM_SEARCH: Recipe = {
    "model.skeleton": DARTS_RETRAIN["model.skeleton"],
    "model.evaluator.optimizer": DARTS_RETRAIN["model.optimizer"],
    "model.evaluator": {"clip": 5.0, "inherit": "own"},
    "model.evaluator.datamodule": DARTS_RETRAIN["data"] | {"validation": 0.5},
    "model.task": DARTS_RETRAIN["model.task"],
    "model": {"trials": 24},
    "model.fidelity": {"epochs": 100, "share": 1.0, "cells": None},
}
# Pham, Guan, Zoph, Le & Dean, "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018;
# https://github.com/melodyguan/enas. Decay is twice their l2, which counts the sum of squares, not half of it.
ENAS_SGD = {"momentum": 0.9, "nesterov": True, "schedule": "restarts", "restart_epochs": 10, "restart_factor": 2}
ENAS_ADAM = {"betas": (0.0, 0.999), "weight_decay": 0.0, "eps": 1e-3}
# scripts/cifar10_micro_search.sh: 30 controller steps on 10 samples each
ENAS_MICRO: Recipe = {
    "model.space": {"blocks": 5},
    "model.skeleton": {"cells": 6 + 2, "channels": 20, "classes": 10, "auxiliary": False, "pool_norm": False},
    "model": {"hidden": 64, "layers": 1, "init_range": 0.1, "temperature": None, "round_size": 10, "clip": 5.0}
    | {"tanh_constant": 1.1, "op_tanh_reduce": 2.5, "epochs": None},
    "model.rule": {"entropy_weight": 1e-4, "baseline_decay": 0.99},
    "model.controller_optimizer": ENAS_ADAM | {"lr": 3.5e-3},
    "model.optimizer": ENAS_SGD | {"lr": 0.05, "lr_min": 5e-4, "weight_decay": 2 * 1e-4},
    "model.derivation": {"candidates": 10, "batches": 1, "every": 1, "statistics": "batch"},
    "data": {"fraction": 0.9, "sampler_steps": 30 * 10, "weight_steps": None},
    "data.datamodule": {"batch_size": 160, "validation": 0.0, "crop": 4, "flip": True, "cutout": 0},
    "trainer": {"max_epochs": 10 + 20 + 40 + 80},
}
# scripts/cifar10_macro_search.sh: 50 controller steps on 20 samples each. There all logits are bounded by 1.5, and a
# skip is drawn with sigmoid(2 x), src/cifar10/general_controller.py.
ENAS_MACRO: Recipe = ENAS_MICRO | {
    "model.space": {"layers": 12, "first_source": 1},
    "model.skeleton": {"channels": 36, "classes": 10, "merge": "add", "growth": 1, "dropout": 0.1},
    "model": ENAS_MICRO["model"] | {"tanh_constant": 2 * 1.5, "op_tanh_reduce": 2.0, "round_size": 20},
    "model.rule": {"entropy_weight": 1e-4, "baseline_decay": 0.99, "skip_target": 0.4, "skip_weight": 0.8},
    "model.controller_optimizer": ENAS_ADAM | {"lr": 1e-3},
    "model.optimizer": ENAS_SGD | {"lr": 0.05, "lr_min": 5e-4, "weight_decay": 2 * 2.5e-4},
    "data": {"fraction": 0.9, "sampler_steps": 50 * 20, "weight_steps": None},
    "data.datamodule": ENAS_MICRO["data.datamodule"] | {"batch_size": 128},
    "trainer": {"max_epochs": 10 + 20 + 40 + 80 + 160},
}
# scripts/cifar10_micro_final.sh
ENAS_MICRO_RETRAIN: Recipe = {
    "model.skeleton": {"cells": 15 + 2, "channels": 36, "classes": 10, "stem": "cifar", "auxiliary": True},
    "model.optimizer": ENAS_SGD | {"lr": 0.05, "lr_min": 1e-4, "weight_decay": 2 * 2e-4, "warmup_epochs": 0},
    "model.task": {"auxiliary_weight": 0.4, "label_smoothing": 0.0},
    "model": {"clip": 5.0, "epochs": None},
    "data": {"batch_size": 144, "validation": 0.0, "crop": 4, "flip": True, "cutout": 16},
    "trainer": {"max_epochs": 10 + 20 + 40 + 80 + 160 + 320},
    "drop_path": 0.4,
}
# scripts/cifar10_macro_final.sh
ENAS_MACRO_RETRAIN: Recipe = {
    "model.space": {"layers": 24, "first_source": 0},
    "model.skeleton": {"channels": 96, "classes": 10, "merge": "concatenate", "growth": 2, "dropout": 0.5},
    "model.optimizer": ENAS_SGD | {"lr": 0.05, "lr_min": 1e-3, "weight_decay": 2 * 2e-4, "warmup_epochs": 0},
    "model": {"clip": 5.0, "epochs": None},
    "data": {"batch_size": 100, "validation": 0.0, "crop": 4, "flip": True, "cutout": 0},
    "trainer": {"max_epochs": 10 + 20 + 40 + 80 + 160},
    "drop_path": None,
}
# Dong & Yang, "NAS-Bench-201", ICLR 2020; https://github.com/D-X-Y/AutoDL-Projects,
# configs/nas-benchmark/algos/RANDOM.config: random search with weight sharing (Li & Talwalkar, UAI 2019)
SHARING_NASBENCH201: Recipe = {
    "model.space": {"nodes": 4},
    "model.skeleton": {"cells_per_stage": 5, "channels": 16},
    "model.skeleton.norm": {"affine": False, "statistics": "batch"},
    "model.optimizer": GDAS_SGD | {"lr": 0.025, "lr_min": 0.001, "weight_decay": 5e-4, "warmup_epochs": 0},
    "model": {"clip": 5.0, "epochs": None},
    "model.derivation": {"candidates": 100, "batches": 10, "every": 0, "statistics": "batch"},
    "data": {"fraction": 0.5, "sampler_steps": 0, "weight_steps": None},
    "data.datamodule": {"batch_size": 64, "validation": 0.0, "crop": 4, "flip": True, "cutout": 0},
    "trainer": {"max_epochs": 250},
}
# configs/nas-benchmark/algos/ENAS.config, scripts-search/NAS-Bench-201-algos/ENAS.sh, lib/models/cell_searchs. Their
# decay is torch's, so it is not doubled.
ENAS_NASBENCH201: Recipe = SHARING_NASBENCH201 | {
    "model": {"hidden": 32, "layers": 2, "init_range": 0.1, "temperature": 5.0, "round_size": 20, "clip": 5.0}
    | {"tanh_constant": 2.5, "op_tanh_reduce": 1.0},
    "model.rule": {"entropy_weight": 1e-4, "baseline_decay": 0.99},
    "model.controller_optimizer": ENAS_ADAM | {"lr": 1e-3},
    "model.optimizer": GDAS_SGD | {"lr": 0.05, "lr_min": 5e-4, "weight_decay": 2.5e-4, "warmup_epochs": 0},
    "model.derivation": {"candidates": 100, "batches": 1, "every": 0, "statistics": "batch"},
    "data": {"fraction": 0.5, "sampler_steps": 50 * 20, "weight_steps": None},
    "data.datamodule": SHARING_NASBENCH201["data.datamodule"] | {"batch_size": 128},
}
# Guo et al., "Single Path One-Shot Neural Architecture Search with Uniform Sampling", ECCV 2020: 20 generations of 50
SINGLE_PATH: Recipe = {name: part for name, part in SHARING_NASBENCH201.items() if name != "model.derivation"} | {
    "model.skeleton.norm": {"affine": False, "statistics": "running"},
    "model": {"population": 50, "candidates": 20 * 50, "every": 0, "clip": 5.0, "epochs": None},
}
# Li & Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019;
# https://github.com/liamcli/randomNAS_release, searchers/random_weight_share.py
SHARING_DARTS: Recipe = {
    "model.space": {"nodes": 4, "reduction": "search"},
    "model.skeleton": DARTS_SEARCH["model.skeleton"],
    "model.optimizer": DARTS_SGD | {"lr": 0.025, "lr_min": 0.001},
    "model": {"clip": 0.25, "epochs": None},
    "model.derivation": {"candidates": 1000, "every": 0},
    "data": {"fraction": 0.5, "sampler_steps": 0, "weight_steps": None},
    "data.datamodule": DARTS_SEARCH["data.datamodule"],
    "trainer": {"max_epochs": 100},
}
# Goyal et al. 2017: twice the batch, twice the rate of the weights, five epochs of warm-up.
DOUBLED = {"lr": 0.05, "warmup_epochs": 5}


def on_two_devices(recipe: Recipe, **rates: float) -> Recipe:
    optimizer, trainer = (
        recipe["model.optimizer"] | DOUBLED | rates,
        recipe["trainer"] | {"devices": 2, "strategy": "ddp"},
    )
    return recipe | {"model.optimizer": optimizer, "trainer": trainer}


RECIPES: dict[str, Recipe] = {
    "darts/cifar10_search_2gpu.yaml": on_two_devices(DARTS_SEARCH, lr_min=0.002),
    "darts/cifar10_search_2gpu_sync.yaml": DARTS_SEARCH
    | {
        "model.skeleton": {k: v for k, v in DARTS_SEARCH["model.skeleton"].items() if k != "norm"},
        "model.skeleton.norm": {"affine": False, "statistics": "running", "sync": True},
        "data.datamodule": DARTS_SEARCH["data.datamodule"] | {"batch_size": 32},
        "trainer": DARTS_SEARCH["trainer"] | {"devices": 2, "strategy": "ddp"},
    },
    "darts/cifar10_retrain_2gpu.yaml": on_two_devices(DARTS_RETRAIN),
    "gdas/cifar10_search_2gpu.yaml": on_two_devices(GDAS_SEARCH, lr_min=0.002),
    "darts/cifar10_search.yaml": DARTS_SEARCH,
    "darts/cifar10_search_second_order.yaml": DARTS_SEARCH | {"model": DARTS_SEARCH["model"] | {"order": 2}},
    "darts/cifar10_select.yaml": DARTS_RETRAIN
    | {"data": DARTS_RETRAIN["data"] | {"validation": 0.5}, "trainer": {"max_epochs": 100}},
    "darts/cifar10_retrain.yaml": DARTS_RETRAIN,
    "darts/imagenet_retrain.yaml": DARTS_IMAGENET,
    "gdas/cifar10_search.yaml": GDAS_SEARCH,
    "gdas/cifar10_search_fixed_reduction.yaml": GDAS_SEARCH | {"model.space": {"nodes": 4, "reduction": "fixed"}},
    "gdas/nasbench201_search.yaml": GDAS_NASBENCH201,
    "gdas/cifar10_retrain.yaml": GDAS_RETRAIN,
    "gdas/imagenet_retrain.yaml": GDAS_IMAGENET,
    "reinforce/cifar10_search.yaml": REINFORCE_SEARCH,
    "nasnet/cifar10_search.yaml": NASNET_SEARCH,
    "nasnet/cifar10_retrain.yaml": NASNET_RETRAIN,
    "nasnet/imagenet_retrain.yaml": NASNET_IMAGENET,
    "evolution/cifar10_search.yaml": EVOLUTION_SEARCH,
    "pareto/cifar10_search.yaml": PARETO_SEARCH,
    "random/cifar10_search.yaml": RANDOM_SEARCH,
    "enas/cifar10_micro_search.yaml": ENAS_MICRO | {"model.skeleton.norm": {"affine": True, "statistics": "running"}},
    "enas/cifar10_macro_search.yaml": ENAS_MACRO,
    "enas/cifar10_micro_retrain.yaml": ENAS_MICRO_RETRAIN,
    "enas/cifar10_macro_retrain.yaml": ENAS_MACRO_RETRAIN,
    "enas/nasbench201_search.yaml": ENAS_NASBENCH201,
    "random_sharing/cifar10_search.yaml": SHARING_DARTS,
    "random_sharing/nasbench201_search.yaml": SHARING_NASBENCH201,
    "single_path/nasbench201_search.yaml": SINGLE_PATH,
}
OTHERS = {
    "darts/cifar10_search_1m.yaml",  # combinations of recipes, settings of our own
    "darts/cifar10_run.yaml",
    "enas/cifar10_macro_small.yaml",
    "enas/cifar10_micro_small.yaml",
    "evolution/cifar10_search_inheritance.yaml",
    "halving/cifar10_search.yaml",
    "nasnet/cifar10_small.yaml",
    "reinforce/cifar10_small.yaml",
}
# Where the recipe of one space is not that of the class.
DIFFERING = {
    "enas/cifar10_macro_search.yaml": {"tanh_constant", "op_tanh_reduce", "optimizer", "weights", "round_size"},
    "enas/nasbench201_search.yaml": {"hidden", "layers", "temperature", "tanh_constant", "op_tanh_reduce", "optimizer"}
    | {"weights", "round_size", "candidates", "every"},
    "random_sharing/cifar10_search.yaml": {"weights", "clip", "candidates"},
}
SHARING = [file for file, recipe in RECIPES.items() if "sampler_steps" in recipe.get("data", {})]
NASNET = (
    "skip_connect conv_3x1_1x3 conv_7x1_1x7 dil_conv_3x3 avg_pool_3x3 max_pool_3x3 max_pool_5x5 max_pool_7x7 "
    "nor_conv_1x1 nor_conv_3x3 sep_conv_3x3 sep_conv_5x5 sep_conv_7x7"
)
AMOEBANET = "skip_connect sep_conv_3x3 sep_conv_5x5 sep_conv_7x7 avg_pool_3x3 max_pool_3x3 dil_conv_3x3 conv_7x1_1x7"
CANDIDATES = {
    "nasnet": NASNET,
    "evolution": AMOEBANET,
    "pareto": "max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5 sep_conv_7x7 "
    "conv_7x1_1x7",
    "DartsSpace": "none max_pool_3x3 avg_pool_3x3 skip_connect sep_conv_3x3 sep_conv_5x5 dil_conv_3x3 dil_conv_5x5",
    "EnasMicroSpace": "sep_conv_3x3 sep_conv_5x5 avg_pool_3x3 max_pool_3x3 skip_connect",
    "EnasMacroSpace": "branch_conv_3x3 branch_sep_conv_3x3 branch_conv_5x5 branch_sep_conv_5x5 branch_avg_pool_3x3 "
    "branch_max_pool_3x3",
    "NasBench201Space": "none skip_connect nor_conv_1x1 nor_conv_3x3 avg_pool_3x3",
}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def init_args(config: Namespace, path: str) -> Namespace:
    """What a part is made from: `model.skeleton` is `model.init_args.skeleton.init_args`, classes or settings alike."""
    part = config
    for name in path.split("."):
        part = part[name] if name in part else part.init_args[name]
        part = part.init_args if "init_args" in part else part
    return part


def callback(config: Namespace, name: str) -> Namespace | None:
    found = [c.init_args for c in config.trainer.callbacks or [] if c.class_path.endswith(f".{name}")]
    return found[0] if found else None


def compare(config: Namespace, recipe: Recipe) -> None:
    from lightning_nas.spaces import published

    for path, values in recipe.items():
        if path == "genotype":
            assert config.model.init_args.genotype == published(values)[1].to_dict()
        elif path == "drop_path":
            schedule = callback(config, "DropPathSchedule")
            assert (None if schedule is None else schedule.probability) == values
        elif path == "temperature":
            schedule = callback(config, "TemperatureSchedule")
            assert schedule is not None
            assert (schedule.start, schedule.end) == values
            assert config.model.init_args.temperature == values[0]
        else:
            part = init_args(config, path)
            found = {name: part[name] for name in values}
            assert {n: tuple(v) if isinstance(v, list) else v for n, v in found.items()} == values, path


@pytest.mark.parametrize("file", [f for f in FILES if not is_chain(f) and f.count("/") > 1 and "/smoke/" not in f])
def test_full_config_is_constructed(file: str) -> None:
    check(constructed(file))


@pytest.mark.parametrize("file", RECIPES)
def test_config_holds_the_recipe(file: str) -> None:
    cli = constructed(f"configs/{file}")
    compare(cli.config, RECIPES[file])
    space = cli.model.space
    if isinstance(space, SupernetSpace):  # a chain has none
        candidates = CANDIDATES.get(Path(file).parent.name) or CANDIDATES[type(space).__name__]
        assert list(space.candidates) == candidates.split()


def test_every_full_config_has_a_recipe() -> None:
    files = {str(path.relative_to(ROOT / "configs")) for path in (ROOT / "configs").glob("*/*.yaml")}
    files = {file for file in files if not file.startswith("smoke/")}
    assert files == {*RECIPES, *OTHERS}, "Give the new config a place in RECIPES."


@pytest.mark.parametrize(
    "file",
    [
        f
        for f, recipe in RECIPES.items()
        if "model.architecture_optimizer" in recipe and "devices" not in recipe["trainer"]
    ],
)
def test_recipe_is_what_the_class_does_by_default(file: str) -> None:
    """The presets' own defaults are the authors' recipes too."""
    search = constructed(f"configs/{file}").model
    with torch.device("meta"):
        bare = type(search)(search.space, search.skeleton)
    assert bare.optimizer == search.optimizer
    assert bare.architecture_optimizer == search.architecture_optimizer
    assert bare.clip == search.clip
    assert getattr(bare.relaxation, "inactive_gradient", None) == getattr(search.relaxation, "inactive_gradient", None)


@pytest.mark.parametrize("file", [file for file, recipe in RECIPES.items() if "model.fidelity" in recipe])
def test_method_trains_children_by_the_recipe_by_default(file: str) -> None:
    """Except for random search, whose 24 large networks are not what one wants by default."""
    search = constructed(f"configs/{file}").model
    assert isinstance(search, MultiTrialSearch)
    with torch.device("meta"):
        bare = type(search)(search.space, search.evaluator)
    if isinstance(search, RandomSearch):
        assert (bare.trials, bare.sampler.fidelity) == (100, Fidelity(epochs=20))
        return
    assert (bare.trials, bare.round_size) == (search.trials, search.round_size)
    assert bare.sampler.fidelity == search.sampler.fidelity
    assert bare.reward.config() == search.reward.config()
    wanted, found = search.sampler.config()["init_args"], bare.sampler.config()["init_args"]
    assert found | {"fixed": None} == wanted | {"fixed": None}  # the growing depth belongs to the chain


def settings(search: WeightSharingSearch) -> dict[str, Any]:
    """What a search has besides space and skeleton, in whatever form it was given."""
    parts = {name: getattr(search, name).config() for name in ("task", "reward")}
    for part in (search.sampler, search.derivation):
        parts |= part.config()["init_args"]
    return parts | {"clip": search.clip, "round_size": search.round_size, "weights": search.optimizer}


@pytest.mark.parametrize("file", SHARING)
def test_sharing_recipe_is_what_the_class_does_by_default(file: str) -> None:
    """`EnasSearch` is the micro search, `RandomSharingSearch` and `SinglePathSearch` are as on NAS-Bench-201."""
    search = constructed(f"configs/{file}").model
    with torch.device("meta"):
        bare = type(search)(search.space, search.skeleton)
    wanted, found = settings(search), settings(bare)
    differing = {name for name in wanted if found[name] != wanted[name]}
    assert differing == DIFFERING.get(file, set())


def test_micro_skeleton_and_phases_are_the_recipe_by_default() -> None:
    cli = constructed("configs/enas/cifar10_micro_search.yaml")
    assert cli.model.space.skeleton() == cli.model.skeleton
    assert Phased(cli.datamodule.datamodule).fraction == cli.datamodule.fraction


def test_final_networks_of_enas_are_those_of_the_authors() -> None:
    """`fixed_arc` of scripts/cifar10_micro_final.sh: source, operation, source, operation of each block."""
    arcs = "02000401041110010211", "10100302113110040311"
    model = constructed("configs/enas/cifar10_micro_retrain.yaml").model
    choices = model.genotype.as_mapping()
    for cell, arc in zip(("normal", "reduce"), arcs, strict=True):
        parts = [f"{cell}.{block}.{part}{slot}" for block in range(2, 7) for slot in (0, 1) for part in ("input", "op")]
        for part, number in zip(parts, arc, strict=True):
            wanted = model.space.candidates[int(number)] if "op" in part else number
            assert choices[part] == wanted, part
    macro = constructed("configs/enas/cifar10_macro_retrain.yaml").model
    text = macro.space.format(macro.genotype).replace(" ", "")
    assert text.startswith("030010200120000311010200000120110111")
    assert text.endswith("011000111010001010011000")


def test_darts_protocol() -> None:
    """Four searches, 100 epochs to choose, the full training: section 3 of the paper."""
    chain = yaml.safe_load(Path("configs/darts/cifar10_run.yaml").read_text())
    parts = {name: f"configs/darts/cifar10_{name}.yaml" for name in ("search", "select", "retrain")}
    assert chain == {"output": "runs/darts_cifar10", "seeds": [0, 1, 2, 3], "random_cells": 0, **parts}
    assert yaml.safe_load(Path(parts["select"]).read_text())["trainer"]["max_epochs"] == 100
