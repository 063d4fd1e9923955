"""Weights two by two, for sums that do not fit 16 bits: what ``lanes`` adds of two axons at once.

Values of eight bits leave room for one product in 16 bits; but the sum of the products of two axons, in 32
bits, is one instruction on most processors. Their weights stand side by side, those of axons 2p and 2p + 1
of a link in row p, with a zero behind the last of an odd number.

A pixel of a first layer is one axon, or three: nothing to take two by two. Its links are turned round then.
Source pixels that stand next to each other and share a target are the axons of one link into it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from nmcompiler.ir.distinct import distinct
from nmcompiler.sim import kernels
from nmcompiler.sim.load import Loaded
from nmcompiler.sim.result import Array, Int64Array

__all__ = ["Pairs"]

# Links of fewer axons than that are turned round, where it lengthens them.
_FEW_AXONS = 8


@dataclass(eq=False)
class Pairs:
    """Links whose axons are taken two by two, and what they refer to; grows with each block.

    Attributes:
        loaded: The program.
    """

    loaded: Loaded
    _patterns: list[int] = field(init=False)
    _segments: list[tuple[int, int, int]] = field(default_factory=list)
    _of_length: dict[int, int] = field(default_factory=dict)
    _weights: list[Array] = field(default_factory=list)
    _size: int = 0
    _known: dict[tuple[int, ...], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begins with the patterns of the program."""
        self._patterns = [int(self.loaded.patterns[-1])]

    @property
    def patterns(self) -> Array:
        """``(P + 1,)`` uint64: those of the program, and one segment for each length of turned links."""
        return np.append(self.loaded.patterns, np.array(self._patterns[1:], np.uint64))

    @property
    def segments(self) -> Array:
        """``(Q, 3)`` uint64."""
        return np.concatenate([self.loaded.segments, np.array(self._segments, np.uint64).reshape(-1, 3)])

    @property
    def weights(self) -> Array:
        """``(W,)`` int32: two weights of 16 bits each, the first in the lower half."""
        return np.concatenate([np.zeros(0, np.int32), *self._weights])

    def paired(self, links: Array) -> Array:
        """Returns links of one block, in the columns of ``Loaded.links``, with weights two by two."""
        if not len(links):
            return links
        few = links[:, kernels.AXONS] < _FEW_AXONS
        turned, addresses, lengths = self._turned(links[few])
        if len(turned) and turned[:, kernels.AXONS].mean() > links[few, kernels.AXONS].mean():
            links = links[~few]
            turned = self._with_weights(turned, addresses, lengths)
        else:
            turned = turned[:0]
        return np.concatenate([turned, self._in_rows(links)])

    def _turned(self, links: Array) -> tuple[Array, Int64Array, Int64Array]:
        """Returns links into stretches of targets that share all their sources.

        With them come the address of the weights of each axon, those of a link side by side, and the number
        of targets of each link.
        """
        program, wide = self.loaded, links.view(np.int64)
        link, axon = _each(wide[:, kernels.AXONS])
        source, neuron = wide[link, kernels.SOURCE], wide[link, kernels.FIRST] + axon
        address = wide[link, kernels.WEIGHT] + axon * wide[link, kernels.WEIGHT_STRIDE]
        pattern = wide[link, kernels.PATTERN]
        first = program.patterns.astype(np.int64)
        part, k = _each(first[pattern + 1] - first[pattern])
        segment = program.segments.view(np.int64)[first[pattern[part]] + k]
        target = wide[link[part], kernels.INTO] + segment[:, 1]
        ends = distinct(np.concatenate([target, target + segment[:, 2]]))
        begin, end = np.searchsorted(ends, target), np.searchsorted(ends, target + segment[:, 2])
        piece, k = _each(end - begin)
        stretch, part = begin[piece] + k, part[piece]
        address = address[part] + segment[piece, 0] + ends[stretch] - target[piece]
        source, neuron = source[part], neuron[part]
        order = np.lexsort((neuron, source, stretch))
        stretch, source, neuron, address = (a[order] for a in (stretch, source, neuron, address))
        new = (np.diff(stretch) != 0) | (np.diff(source) != 0) | (np.diff(neuron) != 1)
        start = np.flatnonzero(np.append(True, new)) if len(stretch) else np.zeros(0, np.int64)
        turned = np.zeros((len(start), links.shape[1]), np.uint64)
        turned[:, kernels.SOURCE], turned[:, kernels.FIRST] = source[start], neuron[start]
        turned[:, kernels.AXONS] = np.diff(np.append(start, len(stretch)))
        turned[:, kernels.INTO] = ends[stretch[start]]
        return turned, address, (ends[1:] - ends[:-1])[stretch[start]]

    def _with_weights(self, turned: Array, addresses: Int64Array, lengths: Int64Array) -> Array:
        """Returns turned links with their pattern and their weights, which links of equal weights share."""
        axons = turned[:, kernels.AXONS].astype(np.int64)
        start = np.cumsum(axons) - axons
        for size in np.unique(np.column_stack([axons, lengths]), axis=0).tolist():
            mine = np.flatnonzero((axons == size[0]) & (lengths == size[1]))
            rows, which = np.unique(
                addresses[start[mine][:, None] + np.arange(size[0])], axis=0, return_inverse=True
            )
            at = self._keep(rows, size[1])
            turned[mine, kernels.WEIGHT] = at[which.reshape(-1)]
            turned[mine, kernels.WEIGHT_STRIDE] = size[1]
            turned[mine, kernels.PATTERN] = self._pattern(size[1])
        return turned

    def _in_rows(self, links: Array) -> Array:
        """Returns links as they are, with a copy of their rows of weights two by two."""
        links = links.copy()
        first = self.loaded.patterns.astype(np.int64)
        segments = self.loaded.segments.view(np.int64)
        columns = [kernels.WEIGHT, kernels.WEIGHT_STRIDE, kernels.AXONS, kernels.PATTERN]
        asked = links[:, columns].view(np.int64)
        kinds, kind, count = np.unique(asked, axis=0, return_inverse=True, return_counts=True)
        ends = np.cumsum(count)
        order = np.argsort(kind.reshape(-1), kind="stable")
        alike = (order[end - n : end] for n, end in zip(count, ends, strict=True))
        for which, mine in zip(kinds.tolist(), alike, strict=True):
            weight, stride, axons, pattern = which
            parts = segments[first[pattern] : first[pattern + 1]]
            if not len(parts):
                continue
            low, high = int(parts[:, 0].min()), int((parts[:, 0] + parts[:, 2]).max())
            key = (weight + low, stride, axons, high - low)
            if key not in self._known:
                rows = weight + low + stride * np.arange(axons)[None]
                self._known[key] = int(self._keep(rows, high - low)[0])
            links[mine, kernels.WEIGHT] = np.array(self._known[key] - low).view(np.uint64)
            links[mine, kernels.WEIGHT_STRIDE] = high - low
        return links

    def _keep(self, rows: Int64Array, length: int) -> Int64Array:
        """Adds the weights of axons that begin at ``rows`` (n, axons); returns where those of each stand."""
        n, axons = rows.shape
        two = np.zeros((n, axons + axons % 2, length), np.int16)
        two[:, :axons] = self.loaded.weights[rows[:, :, None] + np.arange(length)]
        two = np.ascontiguousarray(two.reshape(n, -1, 2, length).swapaxes(2, 3))
        self._weights.append(two.view(np.int32).reshape(-1))
        at: Int64Array = self._size + np.arange(n) * (two.size // n // 2)
        self._size += two.size // 2
        return at

    def _pattern(self, length: int) -> int:
        """Returns the number of a pattern of one segment."""
        if length not in self._of_length:
            self._segments.append((0, 0, length))
            self._of_length[length] = len(self.loaded.patterns) - 2 + len(self._patterns)
            self._patterns.append(self._patterns[-1] + 1)
        return self._of_length[length]


def _each(counts: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Returns 0 counts[0] times, 1 counts[1] times …, and beside it which time it is, from 0."""
    which = np.repeat(np.arange(len(counts)), counts)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
