"""What travels: groups of neurons of one core whose spikes go to the same set of cores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nmcompiler.ir.cores import HOST, Box, Traffic
from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.classes import Classes, classes
from nmcompiler.mapping.partition import Partition
from nmcompiler.mapping.product import Product
from nmcompiler.mapping.work import windows

__all__ = ["HOST", "Nets", "nets"]

_NUMBER = np.dtype(">i8")
_ITEM = _NUMBER.itemsize
_HEAD = 2  # numbers of a key before the destinations


@dataclass(frozen=True, eq=False)
class Nets:
    """Multicast groups; each is one source core and the other cores that its spikes reach.

    Attributes:
        source: ``(n,)`` int64 source core, or ``HOST`` for inputs and for spikes of an earlier pass.
        spikes: ``(n,)`` float64 expected spikes of one sample.
        start: ``(n + 1,)``: net i reaches ``cores[start[i] : start[i + 1]]``.
        cores: Destination cores, int64, ascending within a net; never the source itself. ``HOST`` is one
            where spikes are kept for a later pass.
        window: ``(n,)`` int64 window in which they are sent.
    """

    source: Array
    spikes: Array
    start: Array
    cores: Array
    window: Array

    @property
    def degrees(self) -> Array:
        """Number of destinations of each net."""
        return np.diff(self.start)

    def pairs(self) -> tuple[Array, Array, Array]:
        """Returns source, destination and spikes of every (net, destination)."""
        return np.repeat(self.source, self.degrees), self.cores, np.repeat(self.spikes, self.degrees)


def nets(partition: Partition, order: Sequence[int], traffic: Traffic) -> Nets:
    """Returns the nets of a partition, ordered by window, then by source, then by destinations.

    Args:
        partition: Cores with their pieces.
        order: ``order[k]`` is the core of the partition that becomes core k; cores that are not listed are
            left out.
        traffic: Expected spikes of every population.
    """
    number = {core: k for k, core in enumerate(order)} | {HOST: HOST}
    holders: dict[str, list[tuple[int, Box]]] = {}
    for core in order:
        for piece in partition.cores[core].pieces:
            holders.setdefault(piece.needs.name, []).append((number[core], piece.box))
    groups: dict[bytes, float] = {}
    window = windows(partition.needs.spiking.schedule)
    for population in partition.needs.sources:
        name, shape = population.name, population.shape
        reads = [
            (len(order) + number[core] - HOST, read)
            for core, _, read in partition.readers.reads(name)
            if core in number
        ]
        if not reads:
            continue
        # The core that holds a neuron counts as its first reader.
        held = [(core, Product.of(box, shape)) for core, box in holders.get(name, ())]
        found = classes(shape, (*held, *reads)).merged()
        spikes = np.broadcast_to(traffic.spikes[name], shape).reshape(-1)
        totals = np.bincount(found.label.reshape(-1), weights=spikes)
        for key, amount in zip(_keys(found, window[name], len(order)), totals.tolist(), strict=True):
            if len(key) > _HEAD * _ITEM:
                groups[key] = groups.get(key, 0.0) + amount
    return _nets(groups)


def _keys(found: Classes, window: int, cores: int) -> list[bytes]:
    """Returns the key of each class: window, source and destinations, these counted from the host.

    Keys of bytes, the largest of a number first, are ordered as the numbers are.
    """
    count = len(found.start) - 1
    of = np.repeat(np.arange(count), np.diff(found.start))
    held = found.readers < cores
    source = np.full(count, HOST, np.int64)
    source[of[held]] = found.readers[held]
    of, reader = of[~held], found.readers[~held] - cores + HOST
    others = reader != source[of]
    of, reader = of[others], reader[others]
    start = np.searchsorted(of, np.arange(count + 1)) + _HEAD * np.arange(count + 1)
    numbers = np.empty(start[-1], _NUMBER)
    numbers[start[:-1]] = window
    numbers[start[:-1] + 1] = source - HOST
    numbers[np.arange(len(of)) + _HEAD * (of + 1)] = reader - HOST
    data, ends = numbers.tobytes(), (start * _ITEM).tolist()
    return [data[a:b] for a, b in pairwise(ends)]


def _nets(groups: Mapping[bytes, float]) -> Nets:
    keys = sorted(groups)
    start = np.cumsum([0, *(len(key) // _ITEM for key in keys)])
    numbers = np.frombuffer(b"".join(keys), _NUMBER).astype(np.int64)
    reached = np.ones(len(numbers), bool)
    for k in range(_HEAD):
        reached[start[:-1] + k] = False
    return Nets(
        source=numbers[start[:-1] + 1] + HOST,
        spikes=np.array([groups[key] for key in keys], np.float64),
        start=start - _HEAD * np.arange(len(start)),
        cores=numbers[reached] + HOST,
        window=numbers[start[:-1]],
    )
