"""Turns operators on wires into kernels on layers.

Where a wire is made of whole channels, the kernel stays a convolution with the channels' weights moved to
where the layer has them; otherwise it becomes a list of synapses, which is always right.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from nmcompiler.frontend.values import ZERO, Refusal
from nmcompiler.frontend.wiring import Channels, Sources
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Sparse, elementwise

__all__ = ["Edges", "Window", "convolution", "dense", "scale", "separable", "sparse", "windows"]

Edges: TypeAlias = "list[tuple[str, Kernel]]"

_MOST_SYNAPSES = 1 << 24
_MOST_TAPS = 1 << 26  # of one channel: numpy tables of them are made


@dataclass(frozen=True)
class Window:
    """Geometry of a sliding window; pairs are (rows, columns).

    Attributes:
        size: Taps.
        stride: Step of the output.
        padding: Rows above and columns to the left.
        dilation: Step of the taps.
        out: Height and width of the output.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    out: tuple[int, int]

    @property
    def swapped(self) -> Window:
        """The same window with rows and columns exchanged."""
        parts = (self.size, self.stride, self.padding, self.dilation, self.out)
        return Window(*((b, a) for a, b in parts))

    def taps(self, height: int, width: int) -> tuple[Array, Array]:
        """Returns flat source positions ``(h, w, kh, kw)`` and whether they lie inside the source."""
        count = math.prod(self.out) * math.prod(self.size)
        if count > _MOST_TAPS:
            raise Refusal(f"has {count} taps: at most {_MOST_TAPS} are allowed")
        axes = []
        for axis in (0, 1):
            start = np.arange(self.out[axis]) * self.stride[axis] - self.padding[axis]
            axes.append(start[:, None] + np.arange(self.size[axis]) * self.dilation[axis])
        y, x = axes[0][:, None, :, None], axes[1][None, :, None, :]
        inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
        return np.where(inside, y * width + x, 0), inside


def sparse(sources: Sources, rows: Array, ids: Array, weight: Array) -> Edges:
    """Returns one list of synapses per layer among ``ids``; all arguments are ``(nnz,)``.

    The lists are in the order of their targets and then of their sources, as the passes keep them.
    """
    layer, position = sources.locate(ids)
    order = np.lexsort((position, rows))
    rows, ids, weight, layer, position = (a[order] for a in (rows, ids, weight, layer, position))
    edges: Edges = []
    for index in np.unique(layer[ids != ZERO]):
        mine = layer == index
        kernel = Sparse(rows[mine].astype(np.int64), position[mine], weight[mine])
        edges.append((sources.names[int(index)], kernel))
    return edges


def dense(sources: Sources, ids: Array, weight: Array) -> Edges:
    """Returns the edges of ``weight @ x`` for ``ids`` of shape ``(n,)`` and ``weight`` of ``(m, n)``."""
    layer, position = sources.locate(ids)
    edges: Edges = []
    for index in np.unique(layer[ids != ZERO]):
        mine = np.flatnonzero(layer == index)
        size = int(np.prod(sources.shapes[int(index)], dtype=np.int64))
        if 2 * len(np.unique(position[mine])) < size:
            rows = np.arange(len(weight)).repeat(len(mine))
            edges += sparse(sources, rows, np.tile(ids[mine], len(weight)), weight[:, mine].ravel())
        else:
            edges.append((sources.names[int(index)], Dense(_moved(weight, mine, position[mine], size))))
    return edges


def _moved(weight: Array, columns: Array, positions: Array, size: int) -> Array:
    """Returns ``(m, size)`` with the given columns of ``weight`` at new positions, added where they meet."""
    order = np.argsort(positions, kind="stable")
    if np.array_equal(positions[order], np.arange(size)):  # a permutation: large layers are spared a scatter
        taken = columns[order]
        natural = np.array_equal(taken, np.arange(weight.shape[1]))
        return weight if natural else np.take(weight, taken, axis=1)
    moved = np.zeros((len(weight), size), weight.dtype)
    np.add.at(moved.T, positions, weight[:, columns].T)
    return moved


def scale(sources: Sources, ids: Array, factors: Array) -> Edges:
    """Returns the edges that multiply each element of ``(h, w, c)`` ids by its factor.

    ``factors`` broadcasts to the shape of ``ids``.
    """
    channels = sources.channels(ids) if factors.shape[:2] == (1, 1) else None
    if channels is None:
        used = ids.ravel() != ZERO
        weight = np.broadcast_to(factors, ids.shape).ravel()[used]
        return sparse(sources, np.flatnonzero(used), ids.ravel()[used], weight)
    per_channel = np.broadcast_to(factors, (1, 1, ids.shape[2])).ravel()
    edges: Edges = []
    for run in channels.runs():
        kernel = elementwise(
            per_channel[run], source_channel=int(channels.channel[run.start]), target_channel=run.start
        )
        edges.append((sources.names[int(channels.layer[run.start])], kernel))
    return edges


def convolution(sources: Sources, ids: Array, weight: Array, groups: int, window: Window) -> Edges:
    """Returns the edges of a grouped convolution on ``(h, w, c)`` ids.

    Args:
        sources: The layers.
        ids: What is read.
        weight: ``(kh, kw, channels per group, outputs)``.
        groups: Number of groups.
        window: Geometry.
    """
    channels = sources.channels(ids)
    if channels is None:
        return _scattered(sources, ids, weight, groups, window)
    edges: Edges = []
    per_group, outputs = weight.shape[2], weight.shape[3] // groups
    for start, stop in _blocks(channels, per_group, groups):
        taken = slice(start * per_group, stop * per_group)
        made = slice(start * outputs, stop * outputs)
        whole = Channels(channels.layer[taken], channels.channel[taken])
        if len(whole.runs()) == 1 and (whole.layer >= 0).all():
            kernel = _conv(weight[..., made], window, stop - start, int(whole.channel[0]), made.start)
            edges.append((sources.names[int(whole.layer[0])], kernel))
        else:
            edges += _gathered(sources, whole, weight[..., made], window, made.start)
    return edges


def windows(sources: Sources, ids: Array, window: Window, weight: Array) -> Edges:
    """Returns sums over windows of each channel of ``(h, w, c)`` ids, times a ``weight`` ``(h, w)`` each."""
    height, width, channels = ids.shape
    count = math.prod(window.out) * math.prod(window.size) * channels
    if count > _MOST_SYNAPSES:
        raise Refusal(f"would need {count} synapses one by one (at most {_MOST_SYNAPSES})")
    position, inside = window.taps(height, width)
    read = ids.reshape(height * width, channels)[position]
    h, w = window.out
    rows = np.arange(h * w * channels).reshape(h, w, 1, 1, channels)
    used = inside[..., None] & (read != ZERO)
    factors = np.broadcast_to(weight[:, :, None, None, None], read.shape)
    return sparse(sources, np.broadcast_to(rows, read.shape)[used], read[used], factors[used])


def separable(sources: Sources, ids: Array, weights: Mapping[int, Array], places: Array) -> Edges:
    """Returns the synapses of a linear map that is a product of one map for each axis.

    Args:
        sources: The layers.
        ids: What is read, of any rank.
        weights: ``(entries of the result, entries of the axis)`` for each axis that does not stay as it is.
        places: ``(n,)`` flat position in the layer of each element of the result.
    """
    maps = [np.nonzero(weights[a]) if a in weights else (np.arange(n),) * 2 for a, n in enumerate(ids.shape)]
    count = math.prod(len(out) for out, _ in maps)
    if count > _MOST_SYNAPSES:
        raise Refusal(f"takes {count} synapses (at most {_MOST_SYNAPSES})")
    shape = [len(weights[a]) if a in weights else n for a, n in enumerate(ids.shape)]
    read, place, factors = ids, np.zeros((), np.int64), np.ones(())
    for axis, (out, taken) in enumerate(maps):
        read = np.take(read, taken, axis=axis)
        place = place[..., None] * shape[axis] + out
        factor = weights[axis][out, taken] if axis in weights else np.ones(len(out))
        factors = factors[..., None] * factor
    used = read != ZERO
    return sparse(sources, places[place[used]], read[used], factors[used])


def _blocks(channels: Channels, per_group: int, groups: int) -> list[tuple[int, int]]:
    """Returns stretches of groups that read consecutive channels of one layer, or single groups."""
    blocks: list[tuple[int, int]] = []
    runs = channels.runs()
    inside = [False] * groups
    for run in runs:
        first, last = -(-run.start // per_group), run.stop // per_group
        if first < last:
            blocks.append((first, last))
            inside[first:last] = [True] * (last - first)
    blocks += [(g, g + 1) for g in range(groups) if not inside[g]]
    return sorted(blocks)


def _conv(weight: Array, window: Window, groups: int, source_channel: int, target_channel: int) -> Conv:
    return Conv(
        np.ascontiguousarray(weight),
        window.stride,
        window.padding,
        window.dilation,
        groups,
        source_channel,
        target_channel,
    )


def _gathered(sources: Sources, channels: Channels, weight: Array, window: Window, target: int) -> Edges:
    """Returns one ungrouped convolution per layer, its weights moved to the layer's own channel order."""
    edges: Edges = []
    for index in np.unique(channels.layer[channels.layer >= 0]):
        mine = np.flatnonzero(channels.layer == index)
        where = channels.channel[mine]
        first, count = int(where.min()), int(where.max() - where.min()) + 1
        kh, kw, _, outputs = weight.shape
        moved = np.zeros((count, kh, kw, outputs), weight.dtype)
        np.add.at(moved, where - first, weight[:, :, mine].transpose(2, 0, 1, 3))
        kernel = _conv(moved.transpose(1, 2, 0, 3), window, 1, first, target)
        edges.append((sources.names[int(index)], kernel))
    return edges


def _scattered(sources: Sources, ids: Array, weight: Array, groups: int, window: Window) -> Edges:
    """Returns the synapses of a convolution one by one."""
    height, width, count = ids.shape
    kh, kw, per_group, total = weight.shape
    h, w = window.out
    if h * w * weight.size > _MOST_SYNAPSES:
        raise Refusal(
            f"reads values that are not whole channels of a layer, which takes "
            f"{h * w * weight.size} synapses one by one (at most {_MOST_SYNAPSES})",
            "move the rearrangement in front of it elsewhere",
        )
    position, inside = window.taps(height, width)
    group = np.arange(total) // (total // groups)
    channel = group[None, :] * per_group + np.arange(per_group)[:, None]
    shape = (h, w, kh, kw, per_group, total)
    read = ids.reshape(height * width, count)[position[..., None, None], channel]
    rows = (np.arange(h * w) * total).reshape(h, w, 1, 1, 1, 1) + np.arange(total)
    used = np.broadcast_to(inside[..., None, None], shape) & (read != ZERO)
    return sparse(
        sources,
        np.broadcast_to(rows, shape)[used],
        np.broadcast_to(read, shape)[used],
        np.broadcast_to(weight, shape)[used],
    )
