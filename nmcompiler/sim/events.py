"""The synapses of a block by event, for chips that compare a membrane after every event.

An event is one spike on one route. The events that arrive in a step are taken in the order of their sources:
by population, then by position (row, column, channel), then by the order of the routes. Where nobody controls
that order, a number that a seed draws for each source comes first. Neither depends on how the network was cut
and placed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nmcompiler.sim import kernels
from nmcompiler.sim.result import Array, Int64Array

if TYPE_CHECKING:
    from nmcompiler.sim.load import Loaded

__all__ = ["EventTable", "event_table"]


@dataclass(frozen=True, eq=False)
class EventTable:
    """What a spike on each of E routes does to a block, in the order in which events are taken; all int64.

    Attributes:
        starts: ``(E + 1,)``: route e reaches the entries ``starts[e] … starts[e + 1] − 1`` of the next two.
        targets: Neurons of the block, each once a route.
        weights: What a spike adds to them, never 0.
        first: ``(E,)`` first neuron of the block that holds the source.
        size: ``(E,)`` neurons of that block.
        local: ``(E,)`` position of the source in it.
        delay: ``(E,)`` steps that the spike travels.
    """

    starts: Int64Array
    targets: Int64Array
    weights: Int64Array
    first: Int64Array
    size: Int64Array
    local: Int64Array
    delay: Int64Array

    def largest(self, neurons: int) -> Int64Array:
        """Returns ``(neurons,)``: the most that one event adds to each neuron, at least 0."""
        most = np.zeros(neurons, np.int64)
        np.maximum.at(most, self.targets, self.weights)
        return most


def event_table(loaded: Loaded, block: int) -> EventTable:
    """Returns the events that can arrive in a block."""
    links = loaded.links_of(block).view(np.int64)
    link, axon = _expanded(links[:, kernels.AXONS])
    source = links[link, kernels.SOURCE]
    local = links[link, kernels.FIRST] + axon
    gid0, sizes = loaded.gid0.astype(np.int64), loaded.sizes.astype(np.int64)
    positions = np.concatenate([b.positions for b in loaded.blocks])
    population = np.array([b.population for b in loaded.blocks], np.int64)[source]
    position = positions[gid0[source] + local]
    ties = loaded.program.dynamics.ties
    drawn = np.zeros(len(link), np.uint64) if ties is None else _drawn(ties, population, position)
    keys = (
        links[link, kernels.ROUTE].astype(np.uint64),
        *(k.astype(np.uint64) for k in (position, population)),
        drawn,
    )
    order = np.lexsort(keys)
    link, axon, source, local = link[order], axon[order], source[order], local[order]
    new = np.zeros(len(order), np.bool_)
    new[:1] = True
    for key in keys:
        new[1:] |= np.diff(key[order]) != 0
    event, target, weight = _summed(np.cumsum(new) - 1, *_synapses(loaded, links[link], axon))
    starts = np.searchsorted(event, np.arange(np.count_nonzero(new) + 1)).astype(np.int64)
    source, local, delay = source[new], local[new], links[link, kernels.DELAY][new]
    return EventTable(starts, target, weight, gid0[source], sizes[source], local, delay)


def _drawn(seed: int, population: Int64Array, position: Int64Array) -> Array:
    """Returns uint64 numbers by which sources are sorted: SplitMix64 (Steele, Lea and Flood, 2014)."""
    number = population.astype(np.uint64) * np.uint64(2**32) + position.astype(np.uint64) + np.uint64(1)
    z = np.uint64(seed) + number * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed


def _synapses(
    loaded: Loaded, links: Int64Array, axon: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Returns the synapses of some axons of links: index of the axon, target in the block, weight."""
    patterns, segments = loaded.patterns.view(np.int64), loaded.segments.view(np.int64)
    first = patterns[links[:, kernels.PATTERN]]
    row, step = _expanded(patterns[links[:, kernels.PATTERN] + 1] - first)
    segment = segments[first[row] + step]
    part, place = _expanded(segment[:, 2])
    row, segment = row[part], segment[part]
    link, axon = links[row], axon[row]
    target = link[:, kernels.INTO] + axon * link[:, kernels.TARGET_STRIDE] + segment[:, 1] + place
    at = link[:, kernels.WEIGHT] + axon * link[:, kernels.WEIGHT_STRIDE] + segment[:, 0] + place
    return row, target, loaded.weights[at].astype(np.int64) * link[:, kernels.GAIN]


def _summed(
    event_of: Int64Array, row: Int64Array, target: Int64Array, weight: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Returns event, target and weight with the synapses of an event to one neuron summed, zeros dropped."""
    event = event_of[row]
    order = np.lexsort((target, event))
    event, target, weight = event[order], target[order], weight[order]
    starts = np.flatnonzero((np.diff(event, prepend=-1) != 0) | (np.diff(target, prepend=-1) != 0))
    sums = np.add.reduceat(weight, starts) if len(starts) else weight
    kept = sums != 0
    return event[starts][kept], target[starts][kept], sums[kept]


def _expanded(counts: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Returns, for rows that stand for ``counts`` entries each, the row and the place of every entry."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
