"""Which layers a chip computes, where it is built for layers and not for synapses; and how many neurons.

Both are data: ``passes.layer_rules`` checks the layers of a network against them before it is quantised, and
``backend.BackendBase.obstacles`` counts its neurons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["ConvolutionRules", "DenseRules", "LayerRules", "NetworkLimits", "Padding"]

Padding: TypeAlias = Literal["same", "valid"]


@dataclass(frozen=True)
class ConvolutionRules:
    """The convolutions that a chip computes; all have square kernels and no dilation.

    Attributes:
        kernels: Sides of the kernels.
        strides: Strides, the same along both axes.
        padding: ``same``: the result has ``⌈size / stride⌉`` rows, and what is missing is padded, the odd row
            at the end; ``valid``: nothing is padded.
        levels: Largest value that the convolution reads.
        strided_kernels: Sides of the kernels that may have a stride above 1; all where it is left out.
        channels: Numbers of channels that it may read; any where it is left out.
    """

    kernels: tuple[int, ...]
    strides: tuple[int, ...]
    padding: tuple[Padding, ...]
    levels: int
    strided_kernels: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()


@dataclass(frozen=True)
class DenseRules:
    """The dense layers that a chip computes.

    Attributes:
        levels: Largest value that a dense layer reads.
        after_pool: Whether one may read a layer with a max pool.
    """

    levels: int
    after_pool: bool = True


@dataclass(frozen=True)
class LayerRules:
    """The layers that a chip computes; each may end in a ReLU and a max pool.

    Attributes:
        first: Convolutions that read an input.
        inner: Convolutions that read another layer.
        dense: Dense layers, wherever they stand.
        max_pools: Sides of the square windows of max pools.
        groups: Whether convolutions may have groups (depthwise ones have).
        joins: Whether a layer may read several layers, as residual additions and concatenations do.
    """

    first: ConvolutionRules
    inner: ConvolutionRules
    dense: DenseRules
    max_pools: tuple[int, ...]
    groups: bool
    joins: bool


@dataclass(frozen=True)
class NetworkLimits:
    """Neurons of a whole network, on chips that have them for one purpose only; None where they do not care.

    Attributes:
        inputs: Values that enter in one sample.
        hidden: Neurons that are neither input nor output.
        outputs: Neurons that are read.
    """

    inputs: int | None = None
    hidden: int | None = None
    outputs: int | None = None
