"""What each core and each link of a placed program has to do, from the events of its neurons.

Neurons send only in the steps of their firing, which the program fixes. So the number of events of every
neuron is enough to know, for each of these *slots*, the average work of its steps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.program.usage import arriving
from nmcompiler.sim.routes import Journeys, Tree, destinations, places

__all__ = ["DIRECTIONS", "Workload", "by_neuron", "multicasts", "workload"]

Array: TypeAlias = npt.NDArray[Any]
Ints: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]

DIRECTIONS: tuple[str, ...] = ("east", "west", "south", "north")


@dataclass(frozen=True, eq=False)
class Workload:
    """Work of K slots on C cores and B blocks, in the unit in which events were given: whole below 2^53.

    Attributes:
        slots: ``(K, 2)`` int64: first step in which neurons of the slot fire, and number of these steps.
        turns: ``(K,)`` int64: the pass over the chips in which the work of the slot falls: the host replays
            spikes of an earlier pass in the steps in which they were sent.
        synops: ``(K, C)``: synaptic operations on each core that events of the slot cause.
        spikes: ``(K, C)``: events that each core sends.
        links: ``(K, 4, rows, columns)``: events that cross the link from a place of the common mesh in one of
            ``DIRECTIONS``.
        neurons: ``(C,)`` int64: neurons of each core.
        block_synops: ``(B,)``: operations of the block's own synapses.
        block_spikes: ``(B,)``: events of its neurons.
        block_links: ``(B, 2)``: links that they cross along rows (east-west) and along columns (north-south).
    """

    slots: Ints
    turns: Ints
    synops: Floats
    spikes: Floats
    links: Floats
    neurons: Ints
    block_synops: Floats
    block_spikes: Floats
    block_links: Floats


def workload(program: Program, sent: Array) -> Workload:
    """Returns the work that events cause.

    Args:
        program: The program.
        sent: ``(neurons,)`` events of each neuron, in the order of global numbers: counted, or expected.
    """
    kind, core, n = (program.column(k) for k in ("kind", "core", "n"))
    slots, slot = np.unique(
        np.stack([program.column("fire_start"), program.column("steps")], axis=1), axis=0, return_inverse=True
    )
    slot = slot.reshape(-1)
    passes = program.passes
    per_block = arriving(program, sent, np.repeat(slot, n), len(slots))
    placed, cores = kind != BlockKind.INPUT, len(program.arrays["cores"])
    block_spikes = np.add.reduceat(np.asarray(sent, np.float64), program.column("gid0"))
    links, block_links = _links(program, np.asarray(sent, np.float64), slot, len(slots))
    of_cores, spikes = np.zeros((cores, len(slots))), np.zeros((passes * len(slots), cores))
    np.add.at(of_cores, core[placed], per_block.T[placed])
    now = program.turns * len(slots)  # the first slot of the pass of each core
    synops = np.zeros_like(spikes)
    synops[now[:, None] + np.arange(len(slots)), np.arange(cores)[:, None]] = of_cores
    np.add.at(spikes, (now[core[placed]] + slot[placed], core[placed]), block_spikes[placed])
    neurons = np.zeros(cores, np.int64)
    np.add.at(neurons, core[placed], n[placed])
    return Workload(
        slots=np.tile(slots, (passes, 1)),
        turns=np.repeat(np.arange(passes), len(slots)),
        synops=synops,
        spikes=spikes,
        links=links,
        neurons=neurons,
        block_synops=per_block.sum(axis=0),
        block_spikes=block_spikes,
        block_links=block_links,
    )


def multicasts(program: Program, sent: Array) -> Iterator[tuple[int, int, Tree, float]]:
    """Yields events that take the same links: their block, the pass, their route tree, and their number.

    Trees lie on the common mesh, on which chips stand side by side; the host feeds the chips at the corner.

    Args:
        program: The program.
        sent: ``(neurons,)`` events of each neuron.
    """
    gid0, core = program.column("gid0"), program.column("core").tolist()
    total = np.concatenate(([0.0], np.cumsum(np.asarray(sent, np.float64)))).tolist()
    block_of = np.repeat(np.arange(len(gid0)), program.column("n")).tolist()
    events: defaultdict[tuple[int, frozenset[int]], float] = defaultdict(float)
    for first, end, reached in destinations(program.arrays["routes"], gid0):
        count = total[end] - total[first]
        if count:
            events[block_of[first], reached] += count
    journeys = Journeys(program)
    for (block, reached), count in events.items():
        for turn, tree in journeys.trees(core[block], reached):
            yield block, turn, tree, count


def _links(program: Program, sent: Floats, slot: Ints, slots: int) -> tuple[Floats, Floats]:
    """Returns the events on every link by slot, pass after pass, and the links crossed by those of blocks."""
    where, slot_of = places(program), slot.tolist()
    rows, columns = (1 + max((place[k] for place in where), default=0) for k in (0, 1))
    links, block_links = np.zeros((program.passes * slots, 4, rows, columns)), np.zeros((len(slot), 2))
    events: defaultdict[tuple[int, Tree], float] = defaultdict(float)
    for block, turn, tree, count in multicasts(program, sent):
        block_links[block] += count * np.array(tree.links)
        events[turn * slots + slot_of[block], tree] += count
    for (index, tree), count in events.items():
        _load(links[index], tree, count)
    return links, block_links


def _load(links: Floats, tree: Tree, count: float) -> None:
    """Adds events to the links of a route tree, ``(4, rows, columns)``."""
    east, west, south, north = links
    east[tree.row, tree.column : tree.east] += count
    west[tree.row, tree.west + 1 : tree.column + 1] += count
    for column, first, last in tree.branches:
        south[tree.row : last, column] += count
        north[first + 1 : tree.row + 1, column] += count


def by_neuron(program: Program, values: Sequence[Array]) -> Floats:
    """Returns values of populations in the order of the neurons' global numbers, ``(neurons,)``.

    Args:
        program: The program.
        values: A value of each neuron by population number, each ``(height, width, channels)``; a copy has
            that of the neuron it is a copy of.
    """
    found = np.zeros(program.neurons)
    columns = ("population", "gid0", "y0", "x0", "c0", "height", "width", "channels")
    for number, gid, y, x, c, height, width, channels in zip(
        *(program.column(k).tolist() for k in columns), strict=True
    ):
        box = values[number][y : y + height, x : x + width, c : c + channels]
        found[gid : gid + box.size] = box.reshape(-1)
    copies = program.table("copies")
    found[copies[:, 0]] = found[copies[:, 1]]
    return found
