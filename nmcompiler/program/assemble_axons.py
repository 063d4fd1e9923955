"""Numbering of neurons and input axons, and the routes between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, singledispatch

import numpy as np

from nmcompiler.ir.cores import Box
from nmcompiler.ir.distinct import distinct
from nmcompiler.ir.kernels import Array, Conv, Dense, Kernel, Shape, Sparse

__all__ = ["AxonTable", "Source", "number_axons", "reads", "routes_of"]


@dataclass(frozen=True, eq=False)
class Source:
    """A population as others read it.

    Attributes:
        number: Number of the population.
        shape: Its shape.
        boxes: Its blocks, in the order of the program.
        gid0: Number of its first neuron; the neurons of a population are consecutive.
    """

    number: int
    shape: Shape
    boxes: tuple[Box, ...]
    gid0: int

    @property
    def size(self) -> int:
        """Number of neurons."""
        h, w, c = self.shape
        return h * w * c

    @cached_property
    def bounds(self) -> Array:
        """``(6, blocks)`` int64: y0, y1, x0, x1, c0 and c1 of every block."""
        return np.array([(b.y0, b.y1, b.x0, b.x1, b.c0, b.c1) for b in self.boxes], np.int64).reshape(-1, 6).T

    @cached_property
    def gid_of_flat(self) -> Array:
        """``(size,)`` int64: number of the neuron at each flat position."""
        numbers = np.empty(self.shape, np.int64)
        gid = self.gid0
        for b in self.boxes:
            numbers[b.y0 : b.y1, b.x0 : b.x1, b.c0 : b.c1] = np.arange(gid, gid + b.size).reshape(b.shape)
            gid += b.size
        return numbers.ravel()

    @cached_property
    def flat_by_gid(self) -> Array:
        """``(size,)`` int64: flat position of each neuron, in the order of their numbers."""
        return np.argsort(self.gid_of_flat)


@dataclass(frozen=True, eq=False)
class AxonTable:
    """The axons of one core that one population feeds with one delay.

    Attributes:
        axon0: Axon of the first source.
        gids: ``(n,)`` int64 numbers of the sources, ascending; source k feeds axon ``axon0 + k``.
    """

    axon0: int
    gids: Array

    def find(self, gids: Array) -> Array:
        """Returns the axons of sources that are in the table."""
        axons: Array = self.axon0 + np.searchsorted(self.gids, gids)
        return axons


@singledispatch
def reads(kernel: Kernel, box: Box, source: Shape, target: Shape) -> Array:
    """Returns which sources a box reads through a kernel: ``(size,)`` bool in flat order."""
    raise TypeError(f"no rule for the sources of a {type(kernel).__name__}")


@reads.register
def _(kernel: Dense, box: Box, source: Shape, target: Shape) -> Array:
    return np.ones(int(np.prod(source)), np.bool_)


@reads.register
def _(kernel: Sparse, box: Box, source: Shape, target: Shape) -> Array:
    inside = np.zeros(target, np.bool_)
    inside[box.y0 : box.y1, box.x0 : box.x1, box.c0 : box.c1] = True
    mask = np.zeros(int(np.prod(source)), np.bool_)
    mask[kernel.columns[inside.ravel()[kernel.rows]]] = True
    return mask


@reads.register
def _(kernel: Conv, box: Box, source: Shape, target: Shape) -> Array:
    mask = np.zeros(source, np.bool_)
    per_group = kernel.target_channels // kernel.groups
    low = max(box.c0 - kernel.target_channel, 0)
    high = min(box.c1 - kernel.target_channel, kernel.target_channels)
    if low < high:
        fan_in = kernel.weight.shape[2]
        first = kernel.source_channel + low // per_group * fan_in
        end = kernel.source_channel + ((high - 1) // per_group + 1) * fan_in
        rows = _positions(kernel, 0, (box.y0, box.y1), source[0])
        columns = _positions(kernel, 1, (box.x0, box.x1), source[1])
        mask[np.ix_(rows, columns, np.arange(first, end))] = True
    return mask.ravel()


def _positions(kernel: Conv, axis: int, target: tuple[int, int], length: int) -> Array:
    """Returns the source positions of one axis that a range of targets reads."""
    taps = np.arange(kernel.weight.shape[axis]) * kernel.dilation[axis]
    positions = (np.arange(*target) * kernel.stride[axis] - kernel.padding[axis])[:, None] + taps
    return distinct(positions[(positions >= 0) & (positions < length)])


def number_axons(
    masks: Mapping[tuple[int, int], Array], sources: Sequence[Source]
) -> dict[tuple[int, int], AxonTable]:
    """Numbers the axons of one core, given which neurons it reads by (population, delay).

    Sources come in the order of their numbers, so that neighbours get neighbouring axons.
    """
    tables, axon = {}, 0
    for key in sorted(masks):
        gids = np.sort(sources[key[0]].gid_of_flat[masks[key]])
        tables[key] = AxonTable(axon, gids)
        axon += len(gids)
    return tables


def routes_of(core: int, tables: Mapping[tuple[int, int], AxonTable]) -> Array:
    """Returns the routes ``(k, 5)`` to one core, merged where neurons and axons are consecutive."""
    if not tables:
        return np.zeros((0, 5), np.int64)
    gids = np.concatenate([t.gids for t in tables.values()])
    delays = np.concatenate([np.full(len(t.gids), key[1]) for key, t in tables.items()])
    axons = np.arange(len(gids))
    new = np.ones(len(gids), np.bool_)
    new[1:] = (np.diff(gids) != 1) | (np.diff(delays) != 0)
    starts = np.flatnonzero(new)
    counts = np.diff(np.append(starts, len(gids)))
    columns = (gids[starts], counts, np.full(len(starts), core), axons[starts], delays[starts])
    return np.stack(columns, axis=-1)
