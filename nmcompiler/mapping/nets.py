"""What travels: groups of neurons of one core whose spikes go to the same set of cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.cores import Traffic
from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.partition import Partition
from nmcompiler.mapping.pieces import Candidate

__all__ = ["HOST", "Nets", "nets"]

HOST = -1
"""Source of the spikes of inputs, which enter at row 0, column 0 of chip 0."""


@dataclass(frozen=True, eq=False)
class Nets:
    """Multicast groups; each is one source core and the other cores that its spikes reach.

    Attributes:
        source: ``(n,)`` int64 source core, or ``HOST``.
        spikes: ``(n,)`` float64 expected spikes of one sample.
        start: ``(n + 1,)``: net i reaches ``cores[start[i] : start[i + 1]]``.
        cores: Destination cores, int64, ascending within a net; never the source itself.
    """

    source: Array
    spikes: Array
    start: Array
    cores: Array

    @property
    def degrees(self) -> Array:
        """Number of destinations of each net."""
        return np.diff(self.start)

    def pairs(self) -> tuple[Array, Array, Array]:
        """Returns source, destination and spikes of every (net, destination)."""
        return np.repeat(self.source, self.degrees), self.cores, np.repeat(self.spikes, self.degrees)


def nets(partition: Partition, order: Sequence[int], traffic: Traffic) -> Nets:
    """Returns the nets of a partition.

    Args:
        partition: Cores with their pieces.
        order: ``order[k]`` is the core of the partition that becomes core k.
        traffic: Expected spikes of every population.
    """
    number = {core: k for k, core in enumerate(order)}
    groups: dict[tuple[int, tuple[int, ...]], float] = {}
    for population in partition.needs.sources:
        readers = {number[i]: m for i, m in partition.readers(population.name, population.shape).items()}
        if not readers:
            continue
        owner = np.full(population.shape, HOST, np.int64)
        if population.role != "input":
            for core in partition.holders(population.name):
                for piece in partition.cores[core].pieces:
                    if piece.needs.name == population.name:
                        _fill(owner, piece, number[core])
        spikes = np.broadcast_to(traffic.spikes[population.name], population.shape)
        for source, cores, amount in _groups(owner, readers, spikes):
            others = tuple(c for c in cores if c != source)
            if others:
                groups[source, others] = groups.get((source, others), 0.0) + amount
    return _nets(groups)


def _fill(owner: Array, piece: Candidate, core: int) -> None:
    box = piece.box
    owner[box.y0 : box.y1, box.x0 : box.x1, box.c0 : box.c1] = core


def _groups(owner: Array, readers: dict[int, Array], spikes: Array) -> Iterator[tuple[int, list[int], float]]:
    """Yields (source core, destination cores, spikes) of the neurons of one population with equal both.

    Neurons are told apart by their owner and by one bit for each reading core, 62 bits at a time.
    """
    cores = sorted(readers)
    _, label = np.unique(owner, return_inverse=True)
    label = label.reshape(-1)
    for first in range(0, len(cores), 62):
        word = np.zeros(owner.shape, np.int64)
        for bit, core in enumerate(cores[first : first + 62]):
            word |= readers[core].astype(np.int64) << bit
        _, word = np.unique(word.reshape(-1), return_inverse=True)
        _, label = np.unique(label * (word.max() + 1) + word, return_inverse=True)
    _, sample = np.unique(label, return_index=True)
    totals = np.bincount(label, weights=spikes.reshape(-1))
    reached = np.stack([readers[core].reshape(-1)[sample] for core in cores], axis=1)
    group, column = np.nonzero(reached)
    members = np.array(cores, np.int64)[column].tolist()
    ends = np.searchsorted(group, np.arange(len(sample) + 1)).tolist()
    owners = owner.reshape(-1)[sample].tolist()
    for i, (source, total) in enumerate(zip(owners, totals.tolist(), strict=True)):
        yield source, members[ends[i] : ends[i + 1]], total


def _nets(groups: dict[tuple[int, tuple[int, ...]], float]) -> Nets:
    keys = sorted(groups)
    degrees = [len(cores) for _, cores in keys]
    return Nets(
        np.array([source for source, _ in keys], np.int64),
        np.array([groups[key] for key in keys], np.float64),
        np.concatenate([[0], np.cumsum(degrees)]).astype(np.int64),
        np.array([core for _, cores in keys for core in cores], np.int64),
    )
