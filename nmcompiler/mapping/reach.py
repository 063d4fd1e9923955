"""Which source neurons a box of a population reads, from the geometry of a kernel alone.

No synapse is ever enumerated: a convolution and a dense layer read a product of rows, columns and
channels, each of which is interval arithmetic along one axis. Only a list of synapses is looked up.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, singledispatch
from typing import Protocol, TypeAlias

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse

__all__ = ["Cuts", "ListReach", "ProductReach", "Reach", "cut", "reach", "segment_sums"]

Cuts: TypeAlias = tuple[Array, Array, Array]
"""Boundaries of the boxes of a grid along y, x and c: each ``(parts + 1,)``, from 0 to the length."""


def cut(shape: Shape, parts: tuple[int, int, int]) -> Cuts:
    """Returns the boundaries of a grid of ``parts`` boxes whose sizes differ by at most one along an axis."""
    y, x, c = (np.arange(n + 1) * length // n for length, n in zip(shape, parts, strict=True))
    return y, x, c


def segment_sums(values: Array, cuts: Cuts) -> Array:
    """Returns the sum of ``values``, ``(h, w, c)``, over each box of a grid."""
    for axis, bounds in enumerate(cuts):
        values = np.add.reduceat(values, bounds[:-1], axis=axis)
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
        return _outer(*self._axes)

    @cached_property
    def _axes(self) -> tuple[Array, Array, Array]:
        """Rows, columns and channels read by each target row, column and channel."""
        rows, columns = (m.sum(axis=1, dtype=np.int64) for m in (self.rows, self.columns))
        return rows, columns, np.maximum(self.last - self.first, 0)

    def synapses(self, cuts: Cuts) -> Array:
        """Returns the number of synapses of each box."""
        y, x, c = (np.add.reduceat(a, b[:-1]) for a, b in zip(self._axes, cuts, strict=True))
        return _outer(y, x, c)

    def mark(self, mask: Array, box: Box) -> None:
        """Sets the source neurons that a box reads."""
        rows = np.flatnonzero(self.rows[box.y0 : box.y1].any(axis=0))
        columns = np.flatnonzero(self.columns[box.x0 : box.x1].any(axis=0))
        first, last = self.first[box.c0 : box.c1].min(), self.last[box.c0 : box.c1].max()
        if first < last and len(rows) and len(columns):
            mask[rows[:, None], columns, first:last] = True

    def sources(self, cuts: Cuts, *, pixels: bool) -> Array:
        """Returns the number of source neurons or pixels of each box."""
        y, x, c = (bounds[:-1] for bounds in cuts)
        rows = np.logical_or.reduceat(self.rows, y, axis=0).sum(axis=1, dtype=np.int64)
        columns = np.logical_or.reduceat(self.columns, x, axis=0).sum(axis=1, dtype=np.int64)
        first, last = np.minimum.reduceat(self.first, c), np.maximum.reduceat(self.last, c)
        channels = np.maximum(last - first, 0)
        return _outer(rows, columns, np.sign(channels) if pixels else channels)


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

    @property
    def kernel(self) -> None:
        """A list has nothing that repeats."""
        return None

    def mark(self, mask: Array, box: Box) -> None:
        """Sets the source neurons that a box reads."""
        _, w, c = self.target
        lines = [(y * w + x) * c for y in range(box.y0, box.y1) for x in range(box.x0, box.x1)]
        flat = mask.reshape(-1)
        for line in lines:
            flat[self.columns[self.start[line + box.c0] : self.start[line + box.c1]]] = True

    def sources(self, cuts: Cuts, *, pixels: bool) -> Array:
        """Returns the number of source neurons or pixels of each box."""
        y, x, c = (np.repeat(np.arange(len(b) - 1), np.diff(b)) for b in cuts)
        parts = tuple(len(b) - 1 for b in cuts)
        piece = ((y[:, None] * parts[1] + x)[:, :, None] * parts[2] + c).reshape(-1)
        columns = self.columns // self.source[2] if pixels else self.columns
        count = int(np.prod(self.source))
        pairs = np.unique(np.repeat(piece, np.diff(self.start)) * count + columns)
        return np.bincount(pairs // count, minlength=int(np.prod(parts))).reshape(parts)


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
