"""Linear maps as algebra: scaling, counting, conversion and composition of kernels.

Shapes are ``(height, width, channels)``. Everything here works on floating-point and on integer weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod
from typing import TypeGuard

import numpy as np

from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse

__all__ = [
    "add_sparse",
    "as_conv",
    "as_dense",
    "compose",
    "is_depthwise",
    "is_identity",
    "is_pick",
    "largest_weight",
    "scale_sources",
    "scale_targets",
    "synapses",
    "to_sparse",
]

_LARGEST_PRODUCT = 1 << 27  # entries of an intermediate array beyond which a composition is not tried


def is_depthwise(kernel: Kernel) -> TypeGuard[Conv]:
    """Whether each target channel reads exactly one source channel, and each source channel once."""
    return isinstance(kernel, Conv) and kernel.weight.shape[2:] == (1, kernel.groups)


def is_pick(kernel: Kernel) -> TypeGuard[Conv]:
    """Whether every target copies (and scales) at most one source position of its own channel."""
    return is_depthwise(kernel) and kernel.weight.shape[:2] == (1, 1)


def is_identity(kernel: Kernel, source: Shape, target: Shape) -> bool:
    """Whether the kernel copies all of its source."""
    return (
        is_pick(kernel)
        and source == target
        and kernel.target_channels == target[2]
        and kernel.stride == (1, 1)
        and kernel.padding == (0, 0)
        and bool(np.all(kernel.weight == 1))
    )


def synapses(kernel: Kernel, target: Shape) -> int:
    """Returns the number of synapses, those that read padding included."""
    if isinstance(kernel, Conv):
        return target[0] * target[1] * int(kernel.weight.size)
    return int(kernel.weight.size)


def scale_sources(kernel: Kernel, factor: Array, source: Shape) -> Kernel:
    """Returns ``x ↦ kernel(factor · x)`` for a factor ``(c,)`` per source channel."""
    if isinstance(kernel, Dense):
        return replace(kernel, weight=kernel.weight * np.tile(factor, source[0] * source[1]))
    if isinstance(kernel, Sparse):
        return replace(kernel, weight=kernel.weight * factor[kernel.columns % source[2]])
    ci, co = kernel.weight.shape[2:]
    read = factor[kernel.source_channel : kernel.source_channel + kernel.source_channels]
    per_output = np.repeat(read.reshape(kernel.groups, ci), co // kernel.groups, axis=0).T
    return replace(kernel, weight=kernel.weight * per_output)


def scale_targets(kernel: Kernel, factor: Array, target: Shape) -> Kernel:
    """Returns ``x ↦ factor · kernel(x)`` for a factor ``(c,)`` per target channel."""
    if isinstance(kernel, Dense):
        return replace(kernel, weight=kernel.weight * np.tile(factor, target[0] * target[1])[:, None])
    if isinstance(kernel, Sparse):
        return replace(kernel, weight=kernel.weight * factor[kernel.rows % target[2]])
    written = factor[kernel.target_channel : kernel.target_channel + kernel.target_channels]
    return replace(kernel, weight=kernel.weight * written)


def largest_weight(kernel: Kernel, target: Shape) -> Array:
    """Returns ``(c,)`` float64: the largest magnitude of a weight into each target channel, 0 for none."""
    channels = target[2]
    result = np.zeros(channels)
    if isinstance(kernel, Dense):
        result = _magnitude(kernel.weight, 1).reshape(-1, channels).max(axis=0)
    elif isinstance(kernel, Sparse):
        np.maximum.at(result, kernel.rows % channels, np.abs(np.asarray(kernel.weight, np.float64)))
    else:
        first = kernel.target_channel
        result[first : first + kernel.target_channels] = _magnitude(kernel.weight, (0, 1, 2))
    return result


def _magnitude(weight: Array, axis: int | tuple[int, ...]) -> Array:
    """Returns the largest magnitude along axes, float64, without a copy of what may be 100 M weights."""
    highest, lowest = weight.max(axis=axis, initial=0), weight.min(axis=axis, initial=0)
    most: Array = np.abs(np.maximum(highest.astype(np.float64), -lowest.astype(np.float64)))  # no −0
    return most


def to_sparse(kernel: Kernel, source: Shape, target: Shape) -> Sparse:
    """Returns the same map as a list of synapses, in the order of their targets and then of their sources."""
    if isinstance(kernel, Sparse):
        return kernel
    if isinstance(kernel, Dense):
        rows, columns = np.indices(kernel.weight.shape).reshape(2, -1)
        return Sparse(rows, columns, kernel.weight.reshape(-1))
    kh, kw, ci, co = kernel.weight.shape
    shape = (target[0], target[1], co, kh, kw, ci)
    y, x, o, ky, kx, i = np.ix_(*(np.arange(n) for n in shape))
    at_y = y * kernel.stride[0] - kernel.padding[0] + ky * kernel.dilation[0]
    at_x = x * kernel.stride[1] - kernel.padding[1] + kx * kernel.dilation[1]
    channel = kernel.source_channel + o // (co // kernel.groups) * ci + i
    inside = (at_y >= 0) & (at_y < source[0]) & (at_x >= 0) & (at_x < source[1])
    chosen = np.broadcast_to(inside, shape).reshape(-1)
    rows = (y * target[1] + x) * target[2] + kernel.target_channel + o
    columns = (at_y * source[1] + at_x) * source[2] + channel
    values = (rows, columns, np.moveaxis(kernel.weight, 3, 0)[None, None])
    return Sparse(*(np.broadcast_to(v, shape).reshape(-1)[chosen] for v in values))


def as_conv(kernel: Kernel, source: Shape, target: Shape) -> Kernel:
    """Returns a dense map into a vector as a convolution whose window is the whole source."""
    if isinstance(kernel, Dense) and target[:2] == (1, 1):
        weight = kernel.weight.reshape(target[2], *source).transpose(1, 2, 3, 0)
        return Conv(weight)  # a view: most of them only serve to look for a rule
    return kernel


def as_dense(kernel: Kernel, source: Shape, target: Shape) -> Kernel:
    """Returns a convolution as a dense map where every source reaches every target exactly once."""
    if (
        isinstance(kernel, Conv)
        and kernel.groups == 1
        and kernel.padding == (0, 0)
        and (kernel.dilation == (1, 1) or kernel.weight.shape[:2] == (1, 1))
        and kernel.weight.shape == (*source, target[2])
        and target[:2] == (1, 1)
    ):
        return Dense(np.ascontiguousarray(kernel.weight.reshape(-1, target[2]).T))
    return kernel


def add_sparse(a: Sparse, b: Sparse) -> Sparse:
    """Returns the sum of two lists of synapses, without those that cancel."""
    columns = np.concatenate([a.columns, b.columns])
    return _coalesced(np.concatenate([a.rows, b.rows]), columns, np.concatenate([a.weight, b.weight]))


def compose(outer: Kernel, inner: Kernel, source: Shape, middle: Shape, target: Shape) -> Kernel | None:
    """Returns ``outer ∘ inner``, or None where no rule gives it without growing out of hand.

    Positions outside ``middle`` count as zero, so a rule applies only where the result respects that.
    """
    if isinstance(outer, Dense) and isinstance(inner, Dense):
        return Dense(outer.weight @ inner.weight)
    wide = as_conv(outer, middle, target), as_conv(inner, source, middle)
    for rule in (_into_pick, _pick_of, _pointwise):
        if isinstance(wide[0], Conv) and isinstance(wide[1], Conv):
            made = rule(wide[0], wide[1], source, middle, target)
            if made is not None:
                return as_dense(made, source, target)
    rules: tuple[Callable[..., Kernel | None], ...] = (_into_dense, _sparse_product)
    for general in rules:
        result = general(outer, inner, source, middle, target)
        if result is not None:
            return result
    return None


def _nothing(like: Kernel) -> Sparse:
    none = np.zeros(0, np.int64)
    return Sparse(none, none, np.zeros(0, like.weight.dtype))


def _reads(length: int, kernel: Conv, axis: int) -> Array:
    """Returns the positions along an axis that a convolution reads for ``length`` targets."""
    taps = np.arange(kernel.weight.shape[axis]) * kernel.dilation[axis]
    positions: Array = np.add.outer(np.arange(length) * kernel.stride[axis] - kernel.padding[axis], taps)
    return positions


def _shared_channels(outer: Conv, inner: Conv) -> tuple[int, int]:
    """Returns the first channel that ``inner`` makes and ``outer`` reads, and one past the last."""
    first = max(inner.target_channel, outer.source_channel)
    last = min(inner.target_channel + inner.target_channels, outer.source_channel + outer.source_channels)
    return first, last


def _into_pick(outer: Conv, inner: Conv, source: Shape, middle: Shape, target: Shape) -> Kernel | None:
    """A convolution that reads a pick reads the pick's source with wider strides."""
    if not is_pick(inner):
        return None
    for axis in (0, 1):
        read = _reads(target[axis], outer, axis)
        outside = read[(read < 0) | (read >= middle[axis])]
        reached = outside * inner.stride[axis] - inner.padding[axis]
        if np.any((reached >= 0) & (reached < source[axis])):
            return None
    ci, per_group = outer.weight.shape[2], outer.target_channels // outer.groups
    first, last = _shared_channels(outer, inner)
    if first >= last:
        return _nothing(outer)
    factor = inner.weight.reshape(-1)[first - inner.target_channel : last - inner.target_channel]
    a, b = first - outer.source_channel, last - outer.source_channel
    if outer.groups == 1:
        weight, groups, shift = outer.weight[:, :, a:b], 1, 0
        if np.any(factor != 1) or np.result_type(weight, factor) != weight.dtype:
            weight = weight * factor[:, None]  # else shared by all terms of a pool
    elif a % ci == 0 and b % ci == 0:
        groups, shift = (b - a) // ci, a // ci * per_group
        per_output = np.repeat(factor.reshape(groups, ci), per_group, axis=0).T
        weight = outer.weight[..., shift : shift + groups * per_group] * per_output
    else:
        return None
    return Conv(
        weight,
        stride=_times(outer.stride, inner.stride),
        padding=_plus(_times(outer.padding, inner.stride), inner.padding),
        dilation=_times(outer.dilation, inner.stride),
        groups=groups,
        source_channel=inner.source_channel + first - inner.target_channel,
        target_channel=outer.target_channel + shift,
    )


def _pick_of(outer: Conv, inner: Conv, source: Shape, middle: Shape, target: Shape) -> Kernel | None:
    """A pick of a convolution's results is a convolution with fewer results."""
    if not is_pick(outer):
        return None
    for axis in (0, 1):
        read = _reads(target[axis], outer, axis)
        if np.any((read < 0) | (read >= middle[axis])):
            return None
    ci, per_group = inner.weight.shape[2], inner.target_channels // inner.groups
    first, last = _shared_channels(outer, inner)
    if first >= last:
        return _nothing(outer)
    a, b = first - inner.target_channel, last - inner.target_channel
    if inner.groups > 1 and (a % per_group or b % per_group):
        return None
    factor = outer.weight.reshape(-1)[first - outer.source_channel : last - outer.source_channel]
    shift = a // per_group * ci if inner.groups > 1 else 0
    return Conv(
        inner.weight[..., a:b] * factor,
        stride=_times(outer.stride, inner.stride),
        padding=_plus(_times(outer.padding, inner.stride), inner.padding),
        dilation=inner.dilation,
        groups=(b - a) // per_group if inner.groups > 1 else 1,
        source_channel=inner.source_channel + shift,
        target_channel=outer.target_channel + first - outer.source_channel,
    )


def _pointwise(outer: Conv, inner: Conv, source: Shape, middle: Shape, target: Shape) -> Kernel | None:
    """A 1×1 convolution before or after a convolution multiplies its channels."""
    whole = (
        outer.groups == 1
        and outer.source_channels == inner.target_channels == middle[2]
        and (inner.groups == 1 or is_depthwise(inner))
    )
    if not whole:
        return None
    if outer.weight.shape[:2] == (1, 1) and outer.padding == (0, 0):
        inside = all(_reads(target[a], outer, a).max(initial=0) < middle[a] for a in (0, 1))
        if not inside:
            return None
        last = outer.weight[0, 0]
        product = inner.weight[:, :, 0, :, None] * last if is_depthwise(inner) else inner.weight @ last
        return replace(
            inner,
            weight=product,
            stride=_times(outer.stride, inner.stride),
            groups=1,
            target_channel=outer.target_channel,
        )
    plain = inner.weight.shape[:2] == (1, 1) and inner.stride == (1, 1) and inner.padding == (0, 0)
    if plain and inner.groups == 1 and source[:2] == middle[:2]:
        return replace(outer, weight=inner.weight[0, 0] @ outer.weight, source_channel=inner.source_channel)
    return None


def _into_dense(outer: Kernel, inner: Kernel, source: Shape, middle: Shape, target: Shape) -> Kernel | None:
    """A dense map of anything linear is a dense map of its source."""
    outer = as_dense(outer, middle, target)
    if not isinstance(outer, Dense):
        return None
    if synapses(inner, middle) * len(outer.weight) > _LARGEST_PRODUCT:
        return None
    sparse = to_sparse(inner, source, middle)
    weight = np.zeros((prod(source), len(outer.weight)), np.result_type(outer.weight, inner.weight))
    np.add.at(weight, sparse.columns, outer.weight.T[sparse.rows] * sparse.weight[:, None])
    return Dense(np.ascontiguousarray(weight.T))


def _sparse_product(
    outer: Kernel, inner: Kernel, source: Shape, middle: Shape, target: Shape
) -> Kernel | None:
    """Synapse lists join where one of the two only rearranges, so that their number cannot grow."""
    if max(synapses(outer, target), synapses(inner, middle)) > _LARGEST_PRODUCT // 8:
        return None
    arranged = _rearranges(inner, source, middle)
    if not (arranged or _rearranges(outer, middle, target)):
        return None
    first, second = to_sparse(inner, source, middle), to_sparse(outer, middle, target)
    if arranged:  # one look-up a synapse
        entry = np.full(prod(middle), -1)
        entry[first.rows] = np.arange(len(first.rows))
        entry = entry[second.columns]
        read = entry >= 0
        entry = entry[read]
        return _coalesced(second.rows[read], first.columns[entry], second.weight[read] * first.weight[entry])
    order = np.argsort(first.rows, kind="stable")
    starts = np.searchsorted(first.rows[order], second.columns, "left")
    counts = np.searchsorted(first.rows[order], second.columns, "right") - starts
    which = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    entry = order[starts[which] + within]
    return _coalesced(second.rows[which], first.columns[entry], second.weight[which] * first.weight[entry])


def _coalesced(rows: Array, columns: Array, weight: Array) -> Sparse:
    """Returns the synapses with equal pairs added up and those that cancel left out."""
    width = int(columns.max(initial=0)) + 1
    pairs = rows.astype(np.int64) * width + columns  # one number sorts faster than two
    if np.all(pairs[1:] > pairs[:-1]):
        total = weight
    else:
        pairs, where = np.unique(pairs, return_inverse=True)
        total = np.zeros(len(pairs), weight.dtype)
        np.add.at(total, where.reshape(-1), weight)
    kept = total != 0
    return Sparse(pairs[kept] // width, pairs[kept] % width, total[kept])


def _rearranges(kernel: Kernel, source: Shape, target: Shape) -> bool:
    """Whether every target reads at most one source."""
    if isinstance(kernel, Dense):
        return bool(kernel.weight.shape[1] <= 1)
    if isinstance(kernel, Sparse):
        return bool(np.bincount(kernel.rows, minlength=1).max() <= 1)
    inside = [(read >= 0) & (read < n) for read, n in _axes(kernel, source, target)]
    return kernel.weight.shape[2] == 1 and all(bool(each.sum(axis=1).max() <= 1) for each in inside)


def _axes(kernel: Conv, source: Shape, target: Shape) -> Iterator[tuple[Array, int]]:
    """Yields the positions that are read along each axis, and the length of the axis."""
    for axis in (0, 1):
        yield _reads(target[axis], kernel, axis), source[axis]


def _times(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] * b[0], a[1] * b[1]


def _plus(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    return a[0] + b[0], a[1] + b[1]
