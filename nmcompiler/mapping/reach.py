"""Which source neurons a box of a population reads, from the geometry of a kernel alone.

No synapse is ever enumerated: a convolution and a dense layer read a product of rows, columns and
channels, each of which is interval arithmetic along one axis. Only a list of synapses is looked up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, reduce, singledispatch
from itertools import combinations
from operator import or_
from typing import Protocol, TypeAlias

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.distinct import distinct
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.mapping.product import Product, ranges

__all__ = [
    "Cuts",
    "ListReach",
    "ProductReach",
    "Reach",
    "Union",
    "axons",
    "cut",
    "grid_box",
    "reach",
    "segment_max",
    "segment_sums",
]

Cuts: TypeAlias = tuple[Array, Array, Array]
"""Boundaries of the boxes of a grid along y, x and c: each ``(parts + 1,)``, from 0 to the length."""

# The union of this many projections is still counted by inclusion and exclusion (2^n − 1 products).
_MOST_EXCLUDED = 5
_MOST_MARKED = 1 << 26  # source neurons of all boxes together that are marked, a byte each


def cut(shape: Shape, parts: tuple[int, int, int]) -> Cuts:
    """Returns the boundaries of a grid of ``parts`` boxes whose sizes differ by at most one along an axis."""
    y, x, c = (_ends(length, n) for length, n in zip(shape, parts, strict=True))
    return y, x, c


@lru_cache(4096)
def _ends(length: int, parts: int) -> Array:
    ends = np.arange(parts + 1) * length // parts
    ends.setflags(write=False)  # all who ask get the same
    return ends


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
        starts = cuts[2][:-1]
        read: Array = np.maximum.reduceat(self.last, starts) - np.minimum.reduceat(self.first, starts)
        return np.maximum(read, 0)

    def read(self, box: Box) -> Product:
        """Returns the source neurons that a box reads."""
        rows = np.logical_or.reduce(self.rows[box.y0 : box.y1], axis=0)
        columns = np.logical_or.reduce(self.columns[box.x0 : box.x1], axis=0)
        first, last = int(self.first[box.c0 : box.c1].min()), int(self.last[box.c0 : box.c1].max())
        return Product(rows, columns, min(first, last), last)

    def row_bits(self, first: int, end: int) -> int:
        """Returns the source rows that some rows read, a bit each."""
        return _any(self._rows_of_each, self._known_rows, first, end)

    def column_bits(self, first: int, end: int) -> int:
        """Returns the source columns that some columns read, a bit each."""
        return _any(self._columns_of_each, self._known_columns, first, end)

    def channel_range(self, first: int, end: int) -> tuple[int, int]:
        """Returns the first source channel that some channels read, and one past the last."""
        known = self._known_channels.get((first, end))
        if known is None:
            known = int(self.first[first:end].min()), int(self.last[first:end].max())
            self._known_channels[first, end] = known
        return known

    @cached_property
    def _rows_of_each(self) -> list[int]:
        return _bits(self.rows)

    @cached_property
    def _columns_of_each(self) -> list[int]:
        return _bits(self.columns)

    @cached_property
    def _known_rows(self) -> dict[tuple[int, int], int]:
        return {}

    @cached_property
    def _known_columns(self) -> dict[tuple[int, int], int]:
        return {}

    @cached_property
    def _known_channels(self) -> dict[tuple[int, int], tuple[int, int]]:
        return {}

    def mark(self, mask: Array, box: Box) -> None:
        """Sets the source neurons that a box reads."""
        read = self.read(box)
        mask[np.flatnonzero(read.rows)[:, None], np.flatnonzero(read.columns), read.first : read.last] = True

    def sources(self, cuts: Cuts, *, pixels: bool) -> Array:
        """Returns the number of source neurons or pixels of each box."""
        return ProductUnion((self,)).sources(cuts, pixels=pixels)


def _bits(masks: Array) -> list[int]:
    """Returns each line of bool masks as a number whose bit k is element k."""
    packed = np.packbits(masks, axis=1, bitorder="little")
    return [int.from_bytes(line.tobytes(), "little") for line in packed]


def _any(of_each: Sequence[int], known: dict[tuple[int, int], int], first: int, end: int) -> int:
    """Returns the bits of any of the elements ``first … end − 1``; what was asked for before is known."""
    bits = known.get((first, end))
    if bits is None:
        bits = known[first, end] = reduce(or_, of_each[first:end], 0)
    return bits


class ProductUnion:
    """What is read through any of a few products, counted by inclusion and exclusion (2^n − 1 products).

    Args:
        reaches: The products, all from one source.
    """

    def __init__(self, reaches: Sequence[ProductReach]) -> None:
        sizes = range(1, len(reaches) + 1)
        self._some = [some for size in sizes for some in combinations(reaches, size)]
        self._signs = np.array([(-1) ** (len(some) + 1) for some in self._some], np.int64)
        self._known: dict[tuple[int, bool, bytes], Array] = {}

    def sources(self, cuts: Cuts, *, pixels: bool) -> Array:
        """Returns the number of source neurons, or pixels, that each box of a grid reads."""
        y, x, c = (self._along(axis, cuts, pixels) for axis in range(3))
        if len(y) == 1:
            return _outer(y[0], x[0], c[0])
        y = y * self._signs[:, None]
        total: Array = ((y[:, :, None] * x[:, None]).reshape(len(y), -1).T @ c).reshape(
            y.shape[1], x.shape[1], c.shape[1]
        )
        return total

    def _along(self, axis: int, cuts: Cuts, pixels: bool) -> Array:
        """Returns the rows, columns or channels in every product of each combination, by part of the axis."""
        key = axis, pixels and axis == 2, cuts[axis].tobytes()
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = np.array([_common(some, axis, cuts, pixels) for some in self._some])
        return known


def _common(reaches: Sequence[ProductReach], axis: int, cuts: Cuts, pixels: bool) -> Array:
    """Returns the rows, columns or channels that each part of an axis reads through all of some products."""
    starts = cuts[axis][:-1]
    if axis < 2:
        masks = ((r.rows, r.columns)[axis] for r in reaches)
        read = np.logical_and.reduce([np.logical_or.reduceat(mask, starts, axis=0) for mask in masks])
        count: Array = read.sum(axis=1, dtype=np.int64)
        return count
    first = [np.minimum.reduceat(r.first, starts) for r in reaches]
    last = [np.maximum.reduceat(r.last, starts) for r in reaches]
    if pixels:
        some: Array = np.all(np.less(first, last), axis=0)
        return some.astype(np.int64)
    common: Array = np.maximum(np.min(last, axis=0) - np.max(first, axis=0), 0)
    return common


class Union:
    """The source neurons that boxes read through any of some projections.

    Args:
        reaches: The projections, all from one source.
        shape: Shape of that source.
    """

    def __init__(self, reaches: Sequence[Reach], shape: Shape) -> None:
        self._reaches, self._shape = reaches, shape
        products = [r for r in reaches if isinstance(r, ProductReach)]
        few = len(products) == len(reaches) <= _MOST_EXCLUDED
        self._products = ProductUnion(products) if few else None

    def sources(self, cuts: Cuts, *, pixels: bool) -> Array:
        """Returns the number of source neurons, or pixels, that each box of a grid reads."""
        if self._products is not None:
            return self._products.sources(cuts, pixels=pixels)
        if len(self._reaches) == 1:
            return self._reaches[0].sources(cuts, pixels=pixels)
        total = np.zeros(tuple(len(bounds) - 1 for bounds in cuts), np.int64)
        for index in np.ndindex(*total.shape):
            mask = np.zeros(self._shape, bool)
            for r in self._reaches:
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
        return np.bincount(distinct(pairs) // count, minlength=pieces).reshape(parts)


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
