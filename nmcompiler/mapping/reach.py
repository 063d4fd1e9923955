"""Which source neurons a box of a population reads, from the geometry of a kernel alone.

No synapse is ever enumerated: a convolution and a dense layer read a product of rows, columns and
channels, each of which is interval arithmetic along one axis. Only a list of synapses is looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, singledispatch
from itertools import combinations
from typing import Protocol, TypeAlias

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.mapping.product import Product, ranges

__all__ = [
    "Cuts",
    "ListReach",
    "ProductReach",
    "Reach",
    "axons",
    "cut",
    "grid_box",
    "reach",
    "segment_max",
    "segment_sums",
    "union_sources",
]

Cuts: TypeAlias = tuple[Array, Array, Array]
"""Boundaries of the boxes of a grid along y, x and c: each ``(parts + 1,)``, from 0 to the length."""

# The union of this many projections is still counted by inclusion and exclusion (2^n − 1 products).
_MOST_EXCLUDED = 5
_MOST_MARKED = 1 << 26  # source neurons of all boxes together that are marked, a byte each


def cut(shape: Shape, parts: tuple[int, int, int]) -> Cuts:
    """Returns the boundaries of a grid of ``parts`` boxes whose sizes differ by at most one along an axis."""
    y, x, c = (np.arange(n + 1) * length // n for length, n in zip(shape, parts, strict=True))
    return y, x, c


def segment_sums(values: Array, cuts: Cuts) -> Array:
    """Returns the sum of ``values``, ``(h, w, c)``, over each box of a grid."""
    for axis, bounds in enumerate(cuts):
        values = np.add.reduceat(values, bounds[:-1], axis=axis)
    return values


def segment_max(values: Array, cuts: Cuts) -> Array:
    """Returns the largest of ``values``, ``(h, w, c)``, in each box of a grid."""
    for axis, bounds in enumerate(cuts):
        values = np.maximum.reduceat(values, bounds[:-1], axis=axis)
    return values


class Reach(Protocol):
    """The geometry of one projection."""

    @property
    def fan_in(self) -> Array:
        """Synapses of each target neuron, int64, broadcastable to the target's ``(h, w, c)``."""
        ...

    @property
    def kernel(self) -> Array | None:
        """Weights of each target channel ``(c,)`` when a core stores them once; None where it cannot."""
        ...

    def synapses(self, cuts: Cuts) -> Array:
        """Returns the number of synapses of each box of a grid."""
        ...

    def channels(self, cuts: Cuts) -> Array:
        """Returns the number of source channels that each part of the channels reads through kernels."""
        ...

    def read(self, box: Box) -> Product | Array:
        """Returns the source neurons that a box reads: a product, or flat positions, some more than once."""
        ...

    def mark(self, mask: Array, box: Box) -> None:
        """Sets the source neurons that a box reads in a bool ``mask`` of the source's shape."""
        ...

    def sources(self, cuts: Cuts, *, pixels: bool) -> Array:
        """Returns the number of source neurons, or source pixels, that each box of a grid reads."""
        ...


@dataclass(frozen=True, eq=False)
class ProductReach:
    """Neuron (y, x, c) reads the source rows ``rows[y]`` × columns ``columns[x]`` × a range of channels.

    Attributes:
        rows: ``(h, source h)`` bool.
        columns: ``(w, source w)`` bool.
        first: ``(c,)`` first source channel read; the number of source channels where nothing is read.
        last: ``(c,)`` one past the last source channel read; 0 where nothing is read.
        kernel: Weights of each target channel when stored once, or None.
    """

    rows: Array
    columns: Array
    first: Array
    last: Array
    kernel: Array | None

    @property
    def fan_in(self) -> Array:
        """Synapses of each target neuron."""
        return _outer(*self.along)

    @cached_property
    def along(self) -> tuple[Array, Array, Array]:
        """Rows, columns and channels read by each target row, column and channel."""
        rows, columns = (m.sum(axis=1, dtype=np.int64) for m in (self.rows, self.columns))
        return rows, columns, np.maximum(self.last - self.first, 0)

    def synapses(self, cuts: Cuts) -> Array:
        """Returns the number of synapses of each box."""
        y, x, c = (np.add.reduceat(a, b[:-1]) for a, b in zip(self.along, cuts, strict=True))
        return _outer(y, x, c)

    def channels(self, cuts: Cuts) -> Array:
        """Returns the number of source channels that each part of the channels reads."""
        _, _, first, last = self.segments(cuts)
        read: Array = np.maximum(last - first, 0)
        return read

    def read(self, box: Box) -> Product:
        """Returns the source neurons that a box reads."""
        rows = np.logical_or.reduce(self.rows[box.y0 : box.y1], axis=0)
        columns = np.logical_or.reduce(self.columns[box.x0 : box.x1], axis=0)
        first, last = int(self.first[box.c0 : box.c1].min()), int(self.last[box.c0 : box.c1].max())
        return Product(rows, columns, min(first, last), last)

    def mark(self, mask: Array, box: Box) -> None:
        """Sets the source neurons that a box reads."""
        read = self.read(box)
        mask[np.flatnonzero(read.rows)[:, None], np.flatnonzero(read.columns), read.first : read.last] = True

    def sources(self, cuts: Cuts, *, pixels: bool) -> Array:
        """Returns the number of source neurons or pixels of each box."""
        return _common([self], cuts, pixels)

    def segments(self, cuts: Cuts) -> tuple[Array, Array, Array, Array]:
        """Returns what the parts of a grid read: rows ``(ny, source h)``, columns, first and last channel."""
        y, x, c = (bounds[:-1] for bounds in cuts)
        return (
            np.logical_or.reduceat(self.rows, y, axis=0),
            np.logical_or.reduceat(self.columns, x, axis=0),
            np.minimum.reduceat(self.first, c),
            np.maximum.reduceat(self.last, c),
        )


def _common(reaches: Sequence[ProductReach], cuts: Cuts, pixels: bool) -> Array:
    """Returns the number of sources that each box of a grid reads through every one of some projections."""
    rows, columns, first, last = zip(*(r.segments(cuts) for r in reaches), strict=True)
    if pixels:
        channels = np.all([f < e for f, e in zip(first, last, strict=True)], axis=0).astype(np.int64)
    else:
        channels = np.maximum(np.min(last, axis=0) - np.max(first, axis=0), 0)
    y, x = (np.all(masks, axis=0).sum(axis=1, dtype=np.int64) for masks in (rows, columns))
    return _outer(y, x, channels)


def union_sources(reaches: Sequence[Reach], shape: Shape, cuts: Cuts, *, pixels: bool) -> Array:
    """Returns the number of source neurons, or pixels, that each box of a grid reads through any projection.

    Args:
        reaches: The projections, all from one source.
        shape: Shape of that source.
        cuts: The grid.
        pixels: Whether pixels are counted.
    """
    if len(reaches) == 1:
        return reaches[0].sources(cuts, pixels=pixels)
    parts = tuple(len(bounds) - 1 for bounds in cuts)
    total = np.zeros(parts, np.int64)
    products = [r for r in reaches if isinstance(r, ProductReach)]
    if len(products) == len(reaches) <= _MOST_EXCLUDED:
        for size in range(1, len(products) + 1):
            for some in combinations(products, size):
                total += (-1) ** (size + 1) * _common(some, cuts, pixels)
        return total
    for index in np.ndindex(*parts):
        mask = np.zeros(shape, bool)
        for r in reaches:
            r.mark(mask, grid_box(cuts, index))
        total[index] = axons(mask, pixels=pixels)
    return total


def grid_box(cuts: Cuts, index: tuple[int, ...]) -> Box:
    """Returns one box of a grid."""
    (y, x, c), (i, j, k) = cuts, index
    return Box(int(y[i]), int(y[i + 1]), int(x[j]), int(x[j + 1]), int(c[k]), int(c[k + 1]))


def axons(mask: Array, *, pixels: bool) -> int:
    """Returns the number of input axons for a bool mask of read source neurons."""
    return int(np.count_nonzero(mask.any(axis=2) if pixels else mask))


def _outer(y: Array, x: Array, c: Array) -> Array:
    product: Array = y[:, None, None] * x[None, :, None] * c
    return product


@dataclass(frozen=True, eq=False)
class ListReach:
    """A list of synapses, sorted by target.

    Attributes:
        start: ``(targets + 1,)``: neuron i owns the entries ``start[i] … start[i + 1] − 1``.
        columns: ``(nnz,)`` flat source positions.
        source: Shape of the source.
        target: Shape of the target.
    """

    start: Array
    columns: Array
    source: Shape
    target: Shape

    @property
    def fan_in(self) -> Array:
        """Synapses of each target neuron."""
        return np.diff(self.start).reshape(self.target)

    def synapses(self, cuts: Cuts) -> Array:
        """Returns the number of synapses of each box."""
        return segment_sums(self.fan_in, cuts)

    def channels(self, cuts: Cuts) -> Array:
        """Returns all source channels for each part: a list may read any."""
        return np.full(len(cuts[2]) - 1, self.source[2], np.int64)

    @property
    def kernel(self) -> None:
        """A list has nothing that repeats."""
        return None

    def read(self, box: Box) -> Array:
        """Returns the flat positions that a box reads, one for each synapse."""
        _, w, c = self.target
        line = ((np.arange(box.y0, box.y1)[:, None] * w + np.arange(box.x0, box.x1)) * c).reshape(-1)
        positions: Array = self.columns[ranges(self.start[line + box.c0], self.start[line + box.c1])]
        return positions

    def mark(self, mask: Array, box: Box) -> None:
        """Sets the source neurons that a box reads."""
        mask.reshape(-1)[self.read(box)] = True

    def sources(self, cuts: Cuts, *, pixels: bool) -> Array:
        """Returns the number of source neurons or pixels of each box."""
        y, x, c = (np.repeat(np.arange(len(b) - 1), np.diff(b)) for b in cuts)
        parts = tuple(len(b) - 1 for b in cuts)
        piece = ((y[:, None] * parts[1] + x)[:, :, None] * parts[2] + c).reshape(-1)
        columns = self.columns // self.source[2] if pixels else self.columns
        count, pieces = int(np.prod(self.source)), int(np.prod(parts))
        pairs = np.repeat(piece, np.diff(self.start)) * count + columns
        if pieces * count <= _MOST_MARKED:  # marking is many times faster than sorting
            marked = np.zeros(pieces * count, bool)
            marked[pairs] = True
            read: Array = marked.reshape(pieces, count).sum(axis=1, dtype=np.int64)
            return read.reshape(parts)
        return np.bincount(np.unique(pairs) // count, minlength=pieces).reshape(parts)


@singledispatch
def _reach(kernel: Kernel, source: Shape, target: Shape) -> Reach:
    raise TypeError(f"no rule for the reach of a {type(kernel).__name__}")


def reach(kernel: Kernel, source: Shape, target: Shape) -> Reach:
    """Returns the geometry of ``kernel`` between populations of the given shapes."""
    return _reach(kernel, source, target)


@_reach.register
def _dense(kernel: Dense, source: Shape, target: Shape) -> Reach:
    rows = np.ones((target[0], source[0]), bool)
    columns = np.ones((target[1], source[1]), bool)
    channels = np.full(target[2], source[2], np.int64)
    return ProductReach(rows, columns, np.zeros_like(channels), channels, None)


@_reach.register
def _conv(kernel: Conv, source: Shape, target: Shape) -> Reach:
    kh, kw, per_group, written = kernel.weight.shape
    taps = [
        _taps(
            target[axis], source[axis], size, kernel.stride[axis], kernel.padding[axis], kernel.dilation[axis]
        )
        for axis, size in ((0, kh), (1, kw))
    ]
    first = np.full(target[2], source[2], np.int64)
    last = np.zeros(target[2], np.int64)
    weights = np.zeros(target[2], np.int64)
    group = np.arange(written) // (written // kernel.groups)
    channels = slice(kernel.target_channel, kernel.target_channel + written)
    first[channels] = kernel.source_channel + group * per_group
    last[channels] = first[channels] + per_group
    weights[channels] = kh * kw * per_group
    return ProductReach(taps[0], taps[1], first, last, weights)


@_reach.register
def _sparse(kernel: Sparse, source: Shape, target: Shape) -> Reach:
    order = np.argsort(kernel.rows, kind="stable")
    counts = np.bincount(kernel.rows, minlength=int(np.prod(target)))
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return ListReach(start, np.asarray(kernel.columns)[order], source, target)


def _taps(target: int, source: int, size: int, stride: int, padding: int, dilation: int) -> Array:
    """Returns ``(target, source)`` bool: which source positions each target position reads on one axis."""
    reached = (np.arange(target) * stride - padding)[:, None] + np.arange(size) * dilation
    inside = (reached >= 0) & (reached < source)
    mask = np.zeros((target, source), bool)
    mask[np.nonzero(inside)[0], reached[inside]] = True
    return mask
