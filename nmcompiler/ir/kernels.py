"""Linear maps between populations: what an edge of a layer graph or of an integer network carries.

A tensor of one sample has the shape ``(height, width, channels)``; a vector is ``(1, 1, n)``. Its flat
order is row-major, so channels vary fastest. Weights are floating point in a layer graph and int64 in an
integer network; the geometry is the same.

All three kinds mean ``target[o] += Σ_i W[o, i] · source[i]``. Several edges into one target add up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Conv", "Dense", "Kernel", "Shape", "Sparse", "elementwise", "identity", "with_weight"]

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Dense:
    """Every source reaches every target.

    Attributes:
        weight: ``(n_target, n_source)``, both in flat order.
        pruned: Whether weights of 0 are no synapses: they stay 0, whatever the others become.
    """

    weight: Array
    pruned: bool = False


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution (cross-correlation, as ONNX means it), grouped or depthwise, on a slice of channels.

    ``target[y, x, target_channel + o] += Σ weight[ky, kx, i, o] ·
    source[y·sy − py + ky·dy, x·sx − px + kx·dx, source_channel + g·C + i]``
    where ``C = weight.shape[2]`` and ``g = o // (weight.shape[3] / groups)``. Positions outside the source
    contribute nothing. Height and width of the target are those of the target population: there is no
    padding at the end, only positions that lie outside.

    Attributes:
        weight: ``(kh, kw, source channels per group, target channels)``.
        stride: ``(sy, sx)``.
        padding: ``(py, px)``: rows above and columns to the left; negative values crop.
        dilation: ``(dy, dx)``.
        groups: Number of groups; depthwise where it equals the number of source channels.
        source_channel: First source channel that is read.
        target_channel: First target channel that is written.
        pruned: Whether weights of 0 are no synapses: they stay 0, whatever the others become.
    """

    weight: Array
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    source_channel: int = 0
    target_channel: int = 0
    pruned: bool = False

    @property
    def source_channels(self) -> int:
        """Number of source channels that are read."""
        return int(self.weight.shape[2]) * self.groups

    @property
    def target_channels(self) -> int:
        """Number of target channels that are written."""
        return int(self.weight.shape[3])


@dataclass(frozen=True, eq=False)
class Sparse:
    """A list of synapses.

    Attributes:
        rows: ``(nnz,)`` int64 flat target positions.
        columns: ``(nnz,)`` int64 flat source positions.
        weight: ``(nnz,)``; equal (row, column) pairs add up.
    """

    rows: Array
    columns: Array
    weight: Array


Kernel: TypeAlias = Dense | Conv | Sparse


def elementwise(weight: Array, *, source_channel: int = 0, target_channel: int = 0) -> Conv:
    """Returns the map that multiplies each channel by its own weight, ``weight`` of shape ``(c,)``."""
    return Conv(
        np.asarray(weight).reshape(1, 1, 1, -1),
        groups=len(weight),
        source_channel=source_channel,
        target_channel=target_channel,
    )


def identity(channels: int, *, source_channel: int = 0, target_channel: int = 0) -> Conv:
    """Returns the map that copies ``channels`` channels."""
    return elementwise(np.ones(channels), source_channel=source_channel, target_channel=target_channel)


def with_weight(kernel: Kernel, weight: Array) -> Kernel:
    """Returns the kernel with other weights of the same shape."""
    if np.shape(weight) != kernel.weight.shape:
        raise ValueError(f"weight of shape {np.shape(weight)} in a kernel of shape {kernel.weight.shape}")
    return replace(kernel, weight=weight)
