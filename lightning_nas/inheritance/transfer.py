"""Which tensors of a network come from which source: equal keys, and each operation whole from one source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from lightning_nas.runtime.files import expanded


@dataclass(frozen=True)
class Source:
    """A network's state to take weights from.

    Args:
        name: for reports.
        state: weights and buffers by key.
        mixture: its running statistics are those of a supernet, a mixture of all candidates.
    """

    name: str
    state: Mapping[str, Tensor]
    mixture: bool = False


@dataclass(frozen=True)
class InheritanceReport:
    """What was inherited.

    Args:
        copied: number of tensors by the name of their source, the cropped ones included.
        cropped: number of those whose shapes differ.
        new: keys that keep their fresh values.
        recalibrate: something was inherited, and some running statistics do not describe this network: they are new,
            cropped, or those of a mixture.

    Example:
        >>> print(InheritanceReport({"trial 12": 132, "trial 9": 40}, {"trial 9": 6}, ("classifier.weight",), True))
        inherited 132 tensors from trial 12, 40 from trial 9 (6 cropped), 1 left new
    """

    copied: Mapping[str, int]
    cropped: Mapping[str, int]
    new: tuple[str, ...]
    recalibrate: bool

    def __str__(self) -> str:
        parts: list[str] = []
        for name, count in self.copied.items():
            cropped = f" ({self.cropped[name]} cropped)" if self.cropped.get(name) else ""
            parts.append(f"{count}{'' if parts else ' tensors' if count != 1 else ' tensor'} from {name}{cropped}")
        return f"inherited {', '.join(parts) or 'nothing'}, {len(self.new)} left new"


def inherit(network: nn.Module, sources: Sequence[Source]) -> InheritanceReport:
    """Copy into a freshly built network what sources have learned for the same operations on the same edges.

    Source: Pham et al., "Efficient Neural Architecture Search via Parameter Sharing", ICML 2018, for weights that
    belong to an operation on an edge; Real et al., "Large-Scale Evolution of Image Classifiers", ICML 2017, for
    children that inherit the weights of their parent whose shapes match.

    Equal keys name equal operations on equal edges. All tensors of an operation (a candidate on an edge, else a
    submodule such as `stem` or `cells.3.preprocess0`) come from one source: the first that has all its weights in equal
    shapes, else the first whose shapes can be cropped. Then the overlap is copied, from the first channels on and from
    the middle of kernels, and the rest keeps its fresh values. Linear layers, which depend on the task, are never
    cropped. Scale, shift and statistics of norms may be missing in the source, and then keep their fresh values.

    Args:
        network: what inherits, in place, so that its optimizers go on working.
        sources: in order of preference.

    Example:
        >>> from lightning_nas.testing import BoringSpace
        >>> space = BoringSpace()
        >>> genotype = space.sample(torch.Generator().manual_seed(0))
        >>> supernet, child = space.build(None, space.skeleton()), space.build(genotype, space.skeleton())
        >>> report = inherit(child, [Source("the supernet", supernet.state_dict(), mixture=True)])
        >>> torch.equal(child.classifier.weight, supernet.classifier.weight), report.recalibrate
        (True, True)
    """
    target, plan = network.state_dict(), _Plan(network)
    copied, cropped, new, sound = dict[str, int](), dict[str, int](), list[str](), set[str]()
    for keys in plan.units.values():
        source = plan.best(keys, sources)
        for key in keys:
            if source is None or key not in source.state:
                new.append(key)
                continue
            given = source.state[key]
            _copy(given, target[key])
            copied[source.name] = copied.get(source.name, 0) + 1
            if given.shape != target[key].shape:
                cropped[source.name] = cropped.get(source.name, 0) + 1
            elif not source.mixture:
                sound.add(key)
    return InheritanceReport(copied, cropped, tuple(new), bool(copied) and not plan.statistics <= sound)


def is_covered(network: nn.Module, sources: Sequence[Source]) -> bool:
    """Whether each operation of `network` is in some source with equal shapes: further sources would change nothing."""
    plan = _Plan(network)
    return all(any(plan.fits(keys, source, crop=False) for source in sources) for keys in plan.units.values())


class _Plan:
    """The operations of a network and what is asked of a source of each."""

    def __init__(self, network: nn.Module) -> None:
        modules = dict(network.named_modules())
        norms = [name for name, module in modules.items() if isinstance(module, _BatchNorm)]
        linear = [name for name, module in modules.items() if isinstance(module, nn.Linear)]
        self.shapes = {key: value.shape for key, value in network.state_dict().items()}
        self.optional = {key for name in norms for key in _under(self.shapes, name)}
        self.whole = {key for name in linear for key in _under(self.shapes, name)}
        self.statistics = {key for key in self.optional if key.endswith(("running_mean", "running_var"))}
        self.units: dict[str, list[str]] = {}
        holders = set(_holders(modules))
        for key in self.shapes:
            self.units.setdefault(_unit(key, modules, holders), []).append(key)

    def best(self, keys: Sequence[str], sources: Sequence[Source]) -> Source | None:
        """The source of one operation."""
        for crop in (False, True):
            for source in sources:
                if self.fits(keys, source, crop):
                    return source
        return None

    def fits(self, keys: Sequence[str], source: Source, crop: bool) -> bool:
        """Whether a source has the operation, in equal shapes or in such that can be cropped."""
        present = [key for key in keys if key in source.state]
        if not present or any(key not in source.state and key not in self.optional for key in keys):
            return False
        return all(self._alike(key, source.state[key].shape, crop) for key in present)

    def _alike(self, key: str, shape: torch.Size, crop: bool) -> bool:
        mine = self.shapes[key]
        return shape == mine or (crop and len(shape) == len(mine) and key not in self.whole)


def _under(keys: Mapping[str, torch.Size], prefix: str) -> Iterator[str]:
    return (key for key in keys if key.startswith(f"{prefix}."))


def _holders(modules: Mapping[str, nn.Module]) -> Iterator[str]:
    """Modules that hold edges, at any depth."""
    for name in modules:
        parts = name.split(".")
        if parts[-1] == "edges":
            yield from (".".join(parts[:end]) for end in range(1, len(parts)))


def _unit(key: str, modules: Mapping[str, nn.Module], holders: set[str]) -> str:
    """Name of the operation that a tensor belongs to."""
    parts = key.split(".")
    if "edges" in parts[:-3]:
        return ".".join(parts[: parts.index("edges") + 3])  # edges, the edge, the candidate
    for end in range(1, len(parts)):
        name = ".".join(parts[:end])
        if name not in holders and not isinstance(modules[name], (nn.ModuleList, nn.ModuleDict)):
            return name
    return key


@torch.no_grad()
def _copy(source: Tensor, target: Tensor) -> None:
    """Copy the overlap: of the first two dimensions its beginning, of further ones, those of kernels, its middle."""
    theirs, mine = list[slice](), list[slice]()
    for dimension, (size, own) in enumerate(zip(source.shape, target.shape, strict=True)):
        width = min(size, own)
        for windows, total in ((theirs, size), (mine, own)):
            begin = (total - width) // 2 if dimension > 1 else 0
            windows.append(slice(begin, begin + width))
    target[tuple(mine)] = source[tuple(theirs)].to(target)


_NETWORKS = ("network", "supernet")
"""What a training and a search call their network."""


def network_of(pl_module: LightningModule) -> tuple[nn.Module, bool]:
    """The network that a module trains, and whether it is a supernet.

    Raises:
        MisconfigurationException: it has none under a name that is known.
    """
    for name in _NETWORKS:
        network = getattr(pl_module, name, None)
        if isinstance(network, nn.Module):
            return network, name == "supernet"
    raise MisconfigurationException(
        f"WeightInheritance: {type(pl_module).__name__} has neither a `network` nor a `supernet` that could inherit. "
        "Remove the callback, or train a NetworkTraining or a search of supernets."
    )


def read_source(path: str | Path) -> Source:
    """The network in a checkpoint of a `NetworkTraining`, in one of a search, or in a file of a `WeightStore`.

    Raises:
        ValueError: no such file, or it holds no network.
    """
    what = f"WeightInheritance(sources=[{str(path)!r}])"
    if not expanded(path).is_file():
        raise ValueError(f"{what}: no such file. Give checkpoints, or files of a WeightStore.")
    content = torch.load(expanded(path), map_location="cpu", weights_only=True)
    state = content.get("state_dict", content) if isinstance(content, dict) else {}
    for name in _NETWORKS:
        found = {key.removeprefix(f"{name}."): value for key, value in state.items() if key.startswith(f"{name}.")}
        if found:
            return Source(str(path), found, mixture=name == "supernet")
    if "state_dict" in content or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(
            f"{what} holds no network: give a checkpoint of a NetworkTraining or of a search of supernets."
        )
    return Source(str(path), state)
