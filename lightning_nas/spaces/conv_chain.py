"""The convolutional chain: layers of variable size, each reading any of those before it.

Source: Zoph & Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, Sections 3.1, 3.3 and 4.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from lightning_nas.architecture.decisions import Anchors, Condition, Decision
from lightning_nas.architecture.genotype import Genotype
from lightning_nas.execution.settings import Execution
from lightning_nas.networks.chain import ChainNetwork, LayerSizes
from lightning_nas.networks.skeleton import ChainSkeleton, Skeleton
from lightning_nas.spaces.base import SearchSpace

_DEEPEST = 60  # anchors of a deeper chain have more options than an index can count


class ConvChainSpace(SearchSpace):
    """Convolutions one after the other; each reads the layers that its anchors name, side by side in the channels.

    A layer is described in the order of the paper: filter height, filter width, stride, number of filters; then comes
    its anchor point. The first layer has none. One stride holds for height and width.

    Args:
        depths: numbers of layers; the authors began with 6 and allowed 2 more after every 1,600 networks.
        heights: filter heights, odd.
        widths: filter widths, odd.
        filters: numbers of filters.
        strides: (1,) in the paper's first experiment, (1, 2, 3) in its second.

    Raises:
        ValueError: options that are no different positive integers, an even filter, or more than 60 layers.

    Example:
        >>> space = ConvChainSpace(depths=(15,))
        >>> f"{space.size:.1e}", space.decisions[-1].name
        ('5.0e+58', 'layer.14.anchors')
    """

    def __init__(
        self,
        depths: Sequence[int] = (6, 8, 10, 12, 14, 16, 18, 20),
        heights: Sequence[int] = (1, 3, 5, 7),
        widths: Sequence[int] = (1, 3, 5, 7),
        filters: Sequence[int] = (24, 36, 48, 64),
        strides: Sequence[int] = (1,),
    ) -> None:
        self.depths = _checked("depths", depths)
        self.heights = _checked("heights", heights, odd=True)
        self.widths = _checked("widths", widths, odd=True)
        self.filters = _checked("filters", filters)
        self.strides = _checked("strides", strides)
        if max(self.depths) > _DEEPEST:
            raise ValueError(f"ConvChainSpace(depths={list(self.depths)}): give at most {_DEEPEST} layers.")

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The depth, and of each layer up to the greatest depth what describes it, if the depth says that it exists."""
        described = {"height": self.heights, "width": self.widths, "stride": self.strides, "filters": self.filters}
        found = [Decision("depth", _strings(self.depths))]
        for layer in range(max(self.depths)):
            deep = _strings([depth for depth in self.depths if depth > layer])
            condition = Condition("depth", deep) if len(deep) < len(self.depths) else None
            found += [Decision(f"layer.{layer}.{name}", _strings(of), condition) for name, of in described.items()]
            if layer:
                earlier = tuple(f"layer.{index}.filters" for index in range(layer))
                found.append(Anchors.over(f"layer.{layer}.anchors", earlier, condition))
        return tuple(found)

    def build(self, genotype: Genotype, skeleton: Skeleton, execution: Execution = Execution()) -> ChainNetwork:
        if not isinstance(skeleton, ChainSkeleton):
            raise ValueError(f"ConvChainSpace builds on a ChainSkeleton, not on a {type(skeleton).__name__}.")
        choices = self.check(genotype).as_mapping()
        layers = [self._sizes(layer, choices, skeleton) for layer in range(int(choices["depth"]))]
        return ChainNetwork(layers, skeleton, execution)

    def _sizes(self, layer: int, choices: Mapping[str, str], skeleton: ChainSkeleton) -> LayerSizes:
        height, width, stride, filters = (
            int(choices[f"layer.{layer}.{name}"]) for name in ("height", "width", "stride", "filters")
        )
        scaled = max(1, round(filters * skeleton.channels / max(self.filters)))
        return LayerSizes(scaled, (height, width), stride, Anchors.chosen(choices.get(f"layer.{layer}.anchors", "")))

    def skeleton(self, **sizes: object) -> ChainSkeleton:
        """The published numbers of filters."""
        return ChainSkeleton(**sizes)  # type: ignore[arg-type]


def _strings(options: Sequence[int]) -> tuple[str, ...]:
    return tuple(str(option) for option in options)


def _checked(name: str, options: Sequence[int], odd: bool = False) -> tuple[int, ...]:
    """The options as a tuple.

    Raises:
        ValueError: there are none, one stands twice, is no positive integer, or is even where it must be odd.
    """
    found = tuple(options)
    sound = all(isinstance(option, int) and option > 0 and (option % 2 or not odd) for option in found)
    if not found or not sound or len(set(found)) != len(found):
        kind = "odd positive" if odd else "positive"  # an even filter has no middle to pad around
        raise ValueError(f"ConvChainSpace({name}={list(found)}): give one or more different {kind} integers.")
    return found
