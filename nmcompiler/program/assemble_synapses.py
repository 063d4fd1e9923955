"""Emission of synapses: a kernel on one box becomes axon runs, patterns and weights.

A convolution is separable: which target rows a source row reaches does not depend on the column. So the
taps of both axes are listed once per source position, positions with the same taps (relative to the first
target) share a *signature*, and every pair of signatures is one pattern. Only borders differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, singledispatchmethod

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse
from nmcompiler.program.assemble_axons import AxonTable, Source

__all__ = ["BlockSynapses", "PatternTable"]


@dataclass
class PatternTable:
    """Patterns of segments, each stored once.

    Attributes:
        starts: First segment of each pattern, and the end.
        segments: ``(weight, target, length)`` rows.
        numbers: Number of a pattern by its segments.
    """

    starts: list[int] = field(default_factory=lambda: [0])
    segments: list[tuple[int, int, int]] = field(default_factory=list)
    numbers: dict[tuple[tuple[int, int, int], ...], int] = field(default_factory=dict)

    def number(self, segments: tuple[tuple[int, int, int], ...]) -> int:
        """Returns the number of a pattern, adding it where it is new."""
        known = self.numbers.get(segments)
        if known is None:
            known = self.numbers[segments] = len(self.numbers)
            self.segments.extend(segments)
            self.starts.append(len(self.segments))
        return known


def merged(segments: Iterator[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Returns the segments with those joined that continue each other in weights and targets."""
    result: list[tuple[int, int, int]] = []
    for weight, target, length in segments:
        if result:
            w, t, n = result[-1]
            if weight == w + n and target == t + n:
                result[-1] = (w, t, n + length)
                continue
        result.append((weight, target, length))
    return result


@dataclass(frozen=True)
class Axis:
    """The taps of one axis of a convolution on a range of source positions.

    Attributes:
        positions: ``(m,)`` source positions that reach the box.
        first: ``(m,)`` first target that each reaches, counted in the box.
        signature: ``(m,)`` index into ``taps``.
        taps: For each signature the pairs (target − first, tap), ascending in the target.
    """

    positions: Array
    first: Array
    signature: Array
    taps: tuple[tuple[tuple[int, int], ...], ...]

    @property
    def pairs(self) -> int:
        """Number of (source position, tap) pairs."""
        return sum(len(self.taps[s]) for s in self.signature)

    @cached_property
    def members(self) -> tuple[Array, ...]:
        """For each signature the indices into ``positions`` that have it."""
        return tuple(np.flatnonzero(self.signature == s) for s in range(len(self.taps)))

    @classmethod
    def of(cls, kernel: Conv, axis: int, source: tuple[int, int], target: tuple[int, int]) -> Axis:
        """Returns the taps of ``axis`` between source range and target range (each first, end)."""
        size, stride, padding = kernel.weight.shape[axis], kernel.stride[axis], kernel.padding[axis]
        return _axis(size, stride, padding, kernel.dilation[axis], source, target)


@lru_cache(maxsize=1 << 14)  # the boxes of a network are alike: few ranges, met again and again
def _axis(
    size: int, stride: int, padding: int, dilation: int, source: tuple[int, int], target: tuple[int, int]
) -> Axis:
    pairs: dict[int, list[tuple[int, int]]] = {}
    for t in range(*target):
        for tap in range(size):
            position = t * stride - padding + tap * dilation
            if source[0] <= position < source[1]:
                pairs.setdefault(position, []).append((t - target[0], tap))
    positions = sorted(pairs)
    numbers: dict[tuple[tuple[int, int], ...], int] = {}
    first, signature = [], []
    for position in positions:
        base = pairs[position][0][0]
        taps = tuple((t - base, tap) for t, tap in pairs[position])
        first.append(base)
        signature.append(numbers.setdefault(taps, len(numbers)))
    return Axis(
        np.array(positions, np.int64),
        np.array(first, np.int64),
        np.array(signature, np.int64),
        tuple(numbers),
    )


@dataclass(frozen=True)
class ConvPart:
    """Source channels of a convolution that share one form of run.

    Axon j of a pixel has the weights ``weight[j, ky, kx]`` of ``width`` targets, which start at channel
    ``target + j · target_stride`` of the box.

    Attributes:
        source: First source channel.
        target: First target channel, counted in the box.
        target_stride: Target channels from axon to axon.
        weight: ``(channels, kh, kw, width)``.
    """

    source: int
    target: int
    target_stride: int
    weight: Array

    @property
    def channels(self) -> int:
        """Number of source channels."""
        return int(self.weight.shape[0])

    @property
    def width(self) -> int:
        """Number of neighbouring targets of one tap."""
        return int(self.weight.shape[3])

    @classmethod
    def of(cls, kernel: Conv, box: Box) -> tuple[ConvPart, ...]:
        """Returns the parts of a convolution that write channels of the box."""
        fan_in, per_group = kernel.weight.shape[2], kernel.target_channels // kernel.groups
        low = max(box.c0 - kernel.target_channel, 0)
        high = min(box.c1 - kernel.target_channel, kernel.target_channels)
        if low >= high:
            return ()
        start = kernel.target_channel - box.c0
        groups = range(low // per_group, (high - 1) // per_group + 1)
        if fan_in == 1 and len(groups) > 1 and low % per_group == 0 and high % per_group == 0:
            weight = kernel.weight[:, :, 0, low:high].reshape(*kernel.weight.shape[:2], -1, per_group)
            return (
                cls(kernel.source_channel + groups[0], start + low, per_group, weight.transpose(2, 0, 1, 3)),
            )
        parts = []
        for g in groups:
            a, b = max(low, g * per_group), min(high, (g + 1) * per_group)
            weight = kernel.weight[..., a:b].transpose(2, 0, 1, 3)
            parts.append(cls(kernel.source_channel + g * fan_in, start + a, 0, weight))
        return tuple(parts)


def stored_weights(kernel: Kernel, source: Shape, box: Box) -> tuple[int, int]:
    """Returns how many weights a convolution stores in a box: one for every synapse, and its kernel once.

    Other kernels are never stored once, and give (0, 0).
    """
    if not isinstance(kernel, Conv):
        return 0, 0
    parts = ConvPart.of(kernel, box)
    rows = Axis.of(kernel, 0, (0, source[0]), (box.y0, box.y1)).pairs
    columns = Axis.of(kernel, 1, (0, source[1]), (box.x0, box.x1)).pairs
    synapses = rows * columns * sum(part.channels * part.width for part in parts)
    return synapses, sum(part.weight.size for part in parts)


@dataclass(frozen=True)
class _Pixels:
    """Source pixels with equal taps.

    Attributes:
        axons: ``(m,)`` axon of the first channel of each.
        targets: ``(m,)`` first target of each, in the block, of channel 0.
        taps: (target − first, kernel row, kernel column), ascending in the target.
    """

    axons: Array
    targets: Array
    taps: list[tuple[int, int, int]]


@dataclass
class BlockSynapses:
    """Runs and weights of one block, in the making.

    Attributes:
        box: The block's part of its population.
        target_shape: Shape of the population.
        patterns: Patterns of the whole program.
        runs: ``(…, 7)`` arrays, to be joined.
        weights: ``(…,)`` arrays, to be joined.
        size: Number of weights so far.
    """

    box: Box
    target_shape: Shape
    patterns: PatternTable
    runs: list[Array] = field(default_factory=list)
    weights: list[Array] = field(default_factory=list)
    size: int = 0

    def _store(self, weights: Array) -> int:
        """Appends weights and returns their offset."""
        offset = self.size
        self.weights.append(weights.ravel())
        self.size += weights.size
        return offset

    def _add_runs(self, count: int, *columns: Array | int) -> None:
        """Adds ``count`` runs; a column is one number for all of them or ``(count,)``."""
        rows = np.empty((count, 7), np.int64)
        for k, column in enumerate(columns):
            rows[:, k] = column
        self.runs.append(rows)

    @singledispatchmethod
    def add(self, kernel: Kernel, source: Source, axons: AxonTable, once: bool) -> None:
        """Adds the synapses of a kernel that reads ``source`` through ``axons``.

        ``once`` stores a convolution's kernel once, instead of a weight for every synapse.
        """
        raise TypeError(f"no rule to emit a {type(kernel).__name__}")

    @add.register
    def _dense(self, kernel: Dense, source: Source, axons: AxonTable, once: bool) -> None:
        targets = box_positions(self.box, self.target_shape)
        rows = kernel.weight[targets][:, source.flat_by_gid].T
        offset = self._store(rows)
        pattern = self.patterns.number(((0, 0, len(targets)),))
        first = axons.find(np.array([source.gid0]))[0]
        self._add_runs(1, first, source.size, pattern, 0, offset, len(targets), 0)

    @add.register
    def _sparse(self, kernel: Sparse, source: Source, axons: AxonTable, once: bool) -> None:
        local = local_positions(self.box, self.target_shape, kernel.rows)
        kept = np.flatnonzero(local >= 0)
        gids = source.gid_of_flat[kernel.columns[kept]]
        order = np.lexsort((local[kept], gids))
        kept, gids = kept[order], gids[order]
        targets = local[kept]
        offset = self._store(kernel.weight[kept])
        starts = np.flatnonzero(np.diff(gids, prepend=-1))
        ends = np.append(starts, len(gids))[1:]  # none where no synapse reaches this box
        rows = []
        for first, end, axon in zip(starts, ends, axons.find(gids[starts]), strict=True):
            base = int(targets[first])
            segments = merged((k, int(t) - base, 1) for k, t in enumerate(targets[first:end]))
            rows.append((axon, 1, self.patterns.number(tuple(segments)), base, offset + first, 0, 0))
        if rows:
            self.runs.append(join_runs(np.array(rows, np.int64), ends - starts))

    @add.register
    def _conv(self, kernel: Conv, source: Source, axons: AxonTable, once: bool) -> None:
        order = _tap_order(kernel)
        near = [source.boxes[i] for i in self._near(kernel, source)]
        for part in ConvPart.of(kernel, self.box):
            shared = self._store(_stored(part, order)) if once else None
            for block in near:
                first = max(part.source, block.c0)
                channels = min(part.source + part.channels, block.c1) - first
                if channels > 0:
                    for pixels in self._pixels(kernel, source, axons, block, first):
                        self._add_pixels(part, pixels, slice(first, first + channels), order, shared)

    def _near(self, kernel: Conv, source: Source) -> list[int]:
        """Returns the blocks of the source within the rows and columns that the box can read, ascending."""
        y0, y1, x0, x1, _, _ = source.bounds
        near = np.ones(len(y0), np.bool_)
        ranges = ((y0, y1, self.box.y0, self.box.y1), (x0, x1, self.box.x0, self.box.x1))
        for axis, (first, end, low, high) in enumerate(ranges):
            stride, padding = kernel.stride[axis], kernel.padding[axis]
            reach = (kernel.weight.shape[axis] - 1) * kernel.dilation[axis]
            near &= (first <= (high - 1) * stride - padding + reach) & (end > low * stride - padding)
        found: list[int] = np.flatnonzero(near).tolist()
        return found

    def _pixels(
        self, kernel: Conv, source: Source, axons: AxonTable, block: Box, channel: int
    ) -> Iterator[_Pixels]:
        """Yields the pixels of one source block that reach the box, those with equal taps together."""
        box = self.box
        rows = Axis.of(kernel, 0, (block.y0, block.y1), (box.y0, box.y1))
        columns = Axis.of(kernel, 1, (block.x0, block.x1), (box.x0, box.x1))
        _, width, depth = box.shape
        positions = rows.positions[:, None] * source.shape[1] + columns.positions
        gids = source.gid_of_flat[positions * source.shape[2] + channel]
        targets = (rows.first[:, None] * width + columns.first) * depth
        for a, row_taps in zip(rows.members, rows.taps, strict=True):
            for b, column_taps in zip(columns.members, columns.taps, strict=True):
                chosen = a[:, None], b
                taps = [((dy * width + dx) * depth, ky, kx) for dy, ky in row_taps for dx, kx in column_taps]
                yield _Pixels(axons.find(gids[chosen].ravel()), targets[chosen].ravel(), taps)

    def _add_pixels(
        self, part: ConvPart, pixels: _Pixels, channels: slice, order: Array, shared: int | None
    ) -> None:
        """Adds one run for every pixel; ``shared`` is where the part's weights are stored, if once."""
        skipped, count = channels.start - part.source, channels.stop - channels.start
        weight0: Array | int
        if shared is not None:
            offsets, stride, weight0 = _shared_offsets(part, order, pixels.taps, skipped, shared)
        else:
            taps = [t[1] for t in pixels.taps], [t[2] for t in pixels.taps]
            rows = part.weight[skipped : skipped + count][:, taps[0], taps[1]]
            stored = self._store(rows if len(pixels.axons) == 1 else np.tile(rows.ravel(), len(pixels.axons)))
            weight0 = stored + rows.size * np.arange(len(pixels.axons))
            stride = rows[0].size
            offsets = list(range(0, stride, part.width))
        places = zip(offsets, pixels.taps, strict=True)
        segments = merged((weight, target, part.width) for weight, (target, _, _) in places)
        pattern = self.patterns.number(tuple(segments))
        targets = pixels.targets + part.target + skipped * part.target_stride
        starts = (pixels.axons, count, pattern, targets, weight0)
        self._add_runs(len(pixels.axons), *starts, stride, part.target_stride)


def _tap_order(kernel: Conv) -> Array:
    """Returns the order in which the kernel's columns are stored.

    One source pixel reaches neighbouring targets through columns that lie ``stride`` apart, descending;
    stored in that order, the taps of a kernel row are one stretch of weights.
    """
    stride, dilation = kernel.stride[1], kernel.dilation[1]
    step = stride // math.gcd(stride, dilation)
    return np.array(sorted(range(kernel.weight.shape[1]), key=lambda kx: (kx % step, -kx)), np.int64)


def _stored(part: ConvPart, order: Array) -> Array:
    """Returns the weights of a part as they are stored: ``[ci][ky][kx][o]``, or ``[ky][kx][c]`` diagonal."""
    weight = part.weight[:, :, order]
    return weight.transpose(1, 2, 0, 3) if part.target_stride else weight


def _shared_offsets(
    part: ConvPart, order: Array, taps: list[tuple[int, int, int]], skipped: int, stored: int
) -> tuple[list[int], int, int]:
    """Returns the offsets of the taps, the stride from axon to axon and the run's offset."""
    channels, kh, kw, width = part.weight.shape
    stride = width if part.target_stride else kh * kw * width
    pitch = channels * width if part.target_stride else width
    place = np.argsort(order)
    offsets = [(ky * kw + int(place[kx])) * pitch for _, ky, kx in taps]
    lowest = min(offsets)
    return [o - lowest for o in offsets], stride, stored + skipped * stride + lowest


def join_runs(runs: Array, lengths: Array) -> Array:
    """Joins runs of one axon each that continue each other; ``lengths`` are their numbers of weights."""
    if len(runs) == 1:
        return runs
    step = np.diff(runs, axis=0)
    # A joined run moves its target and its weights by the same amount from axon to axon.
    follows = (step[:, 0] == 1) & (step[:, 2] == 0) & (step[:, 3] >= 0) & (step[:, 4] == lengths[:-1])
    starts, i = [], 0
    counts, strides = [], []
    while i < len(runs):
        end = i
        while end < len(follows) and follows[end] and step[end, 3] == step[i, 3]:
            end += 1
        starts.append(i)
        counts.append(end - i + 1)
        strides.append(step[i, 3] if end > i else 0)
        i = end + 1
    joined = runs[starts]
    joined[:, 1] = counts
    joined[:, 5] = np.where(np.array(counts) > 1, lengths[starts], 0)
    joined[:, 6] = strides
    return joined


def box_positions(box: Box, shape: Shape) -> Array:
    """Returns the flat positions ``(n,)`` of a box's neurons in their population, in the block's order."""
    rows, columns = np.arange(box.y0, box.y1), np.arange(box.x0, box.x1)
    flat = (rows[:, None, None] * shape[1] + columns[:, None]) * shape[2] + np.arange(box.c0, box.c1)
    positions: Array = flat.ravel()
    return positions


def local_positions(box: Box, shape: Shape, flat: Array) -> Array:
    """Returns the positions in the block of neurons given by flat position; −1 outside the box."""
    y, rest = np.divmod(flat, shape[1] * shape[2])
    x, c = np.divmod(rest, shape[2])
    inside = (box.y0 <= y) & (y < box.y1) & (box.x0 <= x) & (x < box.x1) & (box.c0 <= c) & (c < box.c1)
    _, width, channels = box.shape
    local = ((y - box.y0) * width + x - box.x0) * channels + c - box.c0
    result: Array = np.where(inside, local, -1)
    return result
