"""The synapses of a kernel by direct formula: what lift compares a program with.

It shares nothing with the assembler, so that one mistake cannot hide another.
"""

from __future__ import annotations

from functools import singledispatch
from typing import TypeAlias

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse

__all__ = ["Synapses", "expand"]

Synapses: TypeAlias = tuple[Array, Array, Array]


@singledispatch
def expand(kernel: Kernel, source: Shape, target: Shape, chosen: Array) -> Synapses:
    """Returns the synapses into some neurons of the target.

    Args:
        kernel: The map.
        source: Shape of the source population.
        target: Shape of the target population.
        chosen: ``(m,)`` int64 flat positions of the targets wanted, each once.

    Returns:
        Index into ``chosen``, flat source position and weight, each ``(k,)`` int64, in no special order;
        pairs may occur several times and add up.
    """
    raise TypeError(f"no rule to expand a {type(kernel).__name__}")


@expand.register
def _dense(kernel: Dense, source: Shape, target: Shape, chosen: Array) -> Synapses:
    count = int(np.prod(source))
    index = np.repeat(np.arange(len(chosen)), count)
    columns = np.tile(np.arange(count), len(chosen))
    return index, columns, kernel.weight[chosen].ravel().astype(np.int64)


@expand.register
def _sparse(kernel: Sparse, source: Shape, target: Shape, chosen: Array) -> Synapses:
    index_of = np.full(int(np.prod(target)), -1, np.int64)
    index_of[chosen] = np.arange(len(chosen))
    index = index_of[kernel.rows]
    kept = index >= 0
    return index[kept], np.asarray(kernel.columns)[kept], kernel.weight[kept].astype(np.int64)


@expand.register
def _conv(kernel: Conv, source: Shape, target: Shape, chosen: Array) -> Synapses:
    kh, kw, fan_in, written = kernel.weight.shape
    pixel, channel = np.divmod(chosen, target[2])
    o = channel - kernel.target_channel
    index = np.flatnonzero((o >= 0) & (o < written))
    y, x = np.divmod(pixel[index], target[1])
    o = o[index]
    sy = y[:, None] * kernel.stride[0] - kernel.padding[0] + np.arange(kh) * kernel.dilation[0]
    sx = x[:, None] * kernel.stride[1] - kernel.padding[1] + np.arange(kw) * kernel.dilation[1]
    inside = ((sy >= 0) & (sy < source[0]))[:, :, None] & ((sx >= 0) & (sx < source[1]))[:, None, :]
    first = kernel.source_channel + o // (written // kernel.groups) * fan_in
    pixels = sy[:, :, None] * source[1] + sx[:, None, :]
    t, ky, kx = np.nonzero(inside)
    bases = pixels[inside] * source[2] + first[t]
    by_tap = np.ascontiguousarray(kernel.weight.transpose(0, 1, 3, 2))
    weight = by_tap[ky, kx, o[t]]
    columns = bases[:, None] + np.arange(fan_in)
    return np.repeat(index[t], fan_in), columns.ravel(), weight.ravel().astype(np.int64)
