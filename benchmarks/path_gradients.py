"""Why GDAS drifts to empty cells in a short search: what a path is worth, and what its gradient says of it.

For random paths through the supernet of a search that `nasbench201_search.py` has left behind: the mean loss of the
paths that have a candidate on some edge, and the mean derivative of the loss with respect to the weight, 1, of the
drawn candidate, which is what moves GDAS's architecture parameters. A positive one takes weight from the candidate.

    python benchmarks/path_gradients.py --root cifar10 --setting gdas-small --checkpoint runs/.../last.ckpt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from harness import processor, record
from nasbench201_search import SETTINGS, search
from torch import Tensor
from torch.nn import functional as F

from lightning_nas import EdgeWeights
from lightning_nas.data import ImageFolder
from lightning_nas.functional.augment import normalize


def batch(root: Path, size: int, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Random images that the search has not trained on, normalised, and their classes."""
    folder = ImageFolder(root, size=size)
    test = folder.testing
    order = torch.randperm(len(test), generator=torch.Generator().manual_seed(seed))[:count]
    images, targets, _ = test.__getitems__(order.tolist())
    return normalize(images, torch.tensor(folder.mean), torch.tensor(folder.std)), targets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="CIFAR-10 in class folders")
    parser.add_argument("--setting", choices=list(SETTINGS), required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--paths", type=int, default=1000)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0, help="of paths and images")
    parser.add_argument("--output", type=Path, help="keep the JSON record here")
    arguments = parser.parse_args()
    module = search(SETTINGS[arguments.setting])
    module.load_state_dict(torch.load(arguments.checkpoint, weights_only=True)["state_dict"])
    images, targets = batch(arguments.root, SETTINGS[arguments.setting].size, arguments.images, arguments.seed)
    group = module.space.groups["cell"]
    losses, gradients, counts = (torch.zeros(group.shape) for _ in range(3))
    source, edges = torch.Generator().manual_seed(arguments.seed), torch.arange(group.shape[0])
    for _ in range(arguments.paths):
        drawn = torch.randint(group.shape[1], (len(edges),), generator=source)
        weights = F.one_hot(drawn, group.shape[1]).float().requires_grad_()
        path = {"cell": EdgeWeights(weights, tuple((column,) for column in drawn.tolist()))}
        loss = F.cross_entropy(module.supernet(images, path).logits, targets)
        losses[edges, drawn] += loss.detach()
        counts[edges, drawn] += 1
        if loss.requires_grad and loss.grad_fn is not None:
            (found,) = torch.autograd.grad(loss, weights, allow_unused=True)
            gradients += torch.zeros_like(weights) if found is None else found * weights.detach()
    print(f"{processor()}, {arguments.paths} paths\n{'candidate':16}{'mean loss':>12}{'derivative':>12}")
    results = {}
    for column, name in enumerate(group.candidates):
        total = float(counts[:, column].sum())
        loss_, gradient = float(losses[:, column].sum()) / total, float(gradients[:, column].sum()) / total
        print(f"{name:16}{loss_:>12.4f}{gradient:>12.4f}")
        results[name] = {"mean_loss": loss_, "derivative": gradient}
    settings = {name: getattr(arguments, name) for name in ("setting", "paths", "images", "seed")}
    record("path_gradients", results, settings, arguments.output)


if __name__ == "__main__":
    main()
