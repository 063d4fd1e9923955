"""Refinement: atoms of placed cores move to other cores, for shorter samples and spikes that travel less.

Populations are cut one after another, and each box knows only who reads it. Here everything is known: where
the cores stand, what travels between all of them, and how long each works in every stretch of a sample. What
comes out are boxes again, which are put on new cores one by one, so that every limit is checked as ever.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nmcompiler.ir.cores import Traffic
from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.atoms import Atoms, TooMany, atoms
from nmcompiler.mapping.bounds import usable
from nmcompiler.mapping.divided import divided
from nmcompiler.mapping.partition import Partition
from nmcompiler.mapping.pieces import BoxCosts
from nmcompiler.mapping.reach import ProductReach, Reach
from nmcompiler.mapping.search import Outputs
from nmcompiler.mapping.work import arriving, arriving_at, is_timed, stretches
from nmcompiler.target.model import Limits, Target
from nmcompiler.target.step_time import core_times_ns, whole_chip_times_ns

__all__ = ["MOST_ATOMS", "MOST_CORES", "Aim", "Places", "rounds", "refined"]

MOST_CORES = 600
MOST_ATOMS = 20_000
# Temperatures in mean spikes of an atom. The last refuses nearly all that makes it worse.
_HOT, _COLD = 10.0, 0.3
_EVEN = 1.003  # times that are called equal
# What time beyond the goal costs at first, in costs of all spikes for all of the time, and how much dearer it
# becomes.
_PRICE, _DEARER = 1.0, 10.0
_BEND = 0.3  # what a corner of the area of a core costs at first, in mean spikes of an atom
_STIFFER = 30.0  # how much dearer it becomes
_LOOKS = 3  # times that a move looks at each item of an atom: what is tried is mostly taken back
_NO_LIMIT = 1 << 62
_FEW_THETAS = 8  # more thresholds of an atom are counted as one set, apart from those of other sets
_RESOURCES = ("neurons", "synapse_bits", "input_axons", "thresholds", "populations", "output_axons")
_NEURONS, _SYNAPSES, _INPUTS, _THRESHOLDS, _POPULATIONS, _OUTPUTS = range(len(_RESOURCES))


class Aim(NamedTuple):
    """What a refinement looks for.

    Attributes:
        hot: First temperature, in times that of a first refinement.
        worth: What decides: so many percent of the links count as much as a percent of time. At 1, the
            product of both is least, as an energy-delay product is.
        worst: So many times the links may be crossed where that makes a sample shorter.
        goals: A run for each: the time that the busiest cores may take, from 0, that of cores that are all as
            busy, to 1, that of the partition so far.
    """

    hot: float = 1.0
    worth: float = 1.0
    worst: float = 1.0
    goals: tuple[float, ...] = (0.0, 0.25)


# Between the rounds cores are placed anew. A step is as long as its busiest core takes, which decides; where
# no time is published, operations are only kept from becoming more on the busiest core.
_TIMED = Aim(worth=1.5, worst=1.3), Aim(hot=0.3, worth=8.0, worst=1.1)
_UNTIMED = tuple(Aim(hot=hot, worth=0.1, goals=(1.0,)) for hot in (1.0, 0.3))


def rounds(target: Target) -> tuple[Aim, ...]:
    """Returns what the refinements of a chip look for, one after another."""
    return _TIMED if is_timed(target) else _UNTIMED


@dataclass(frozen=True, eq=False)
class Places:
    """Where C cores stand, and behind them the host.

    Attributes:
        row: ``(C + 1,)`` int64.
        along: ``(C + 1,)`` float64: distance from the first column, in links of a chip.
    """

    row: Array
    along: Array


def refined(
    parted: Partition,
    order: Sequence[int],
    places: Places,
    traffic: Traffic,
    *,
    moves: int,
    visits: int,
    seed: int,
    aim: Aim,
    longest: float = 0.0,
) -> Partition | None:
    """Returns a partition on as many cores of the same places; core k of it stands at place k.

    Args:
        parted: A partition on cores of one type, all loaded at once.
        order: ``order[k]`` is its core at place k.
        places: Where the cores stand.
        traffic: Expected spikes of every population.
        moves: Moves that each run tries for every atom, as long as ``visits`` last.
        visits: Most nets that each looks at.
        seed: Of the random numbers; equal seeds give equal partitions.
        aim: What it looks for.
        longest: A sample may last so long, as ``work.duration`` has it, and as long as it does.

    Returns:
        The partition, or None where nothing better was found.
    """
    if not 1 < len(order) <= MOST_CORES:
        return None
    parts = atoms(parted, order)
    if len(parts) > MOST_ATOMS:
        return None
    try:
        kernel = _Kernel(parts, len(order), places, traffic)
    except TooMany:
        return None
    before = kernel.figures(parts.owner)
    uneven, count = before[1] / kernel.least, len(aim.goals)
    runs = [(max(_EVEN, uneven**goal), seed * count + k) for k, goal in enumerate(aim.goals)]
    tried = min(moves * len(parts), int(visits / kernel.touched))
    with ThreadPoolExecutor(max(1, min(count, os.cpu_count() or 1))) as pool:
        found = list(pool.map(lambda run: kernel.anneal(tried, aim.hot, *run), runs))
    latest = max(longest, before[1]) * _EVEN
    better = [
        (gain, k)
        for k, (cost, time, _) in enumerate(found)
        if cost <= aim.worst * before[0] and time <= latest and (gain := _gain(aim, before, cost, time)) < 1
    ]
    if not better:
        return None
    return divided(parts, found[min(better)[1]][2], len(order), parted.chips)


def _gain(aim: Aim, before: tuple[float, float], cost: float, time: float) -> float:
    """Returns what is left of cost and time, weighed; less is better."""
    slower: float = (time / max(before[1], 1e-9)) ** aim.worth
    return cost / max(before[0], 1e-9) * slower


class _Kernel:
    """The compiled kernel with atoms as it takes them."""

    def __init__(self, parts: Atoms, cores: int, places: Places, traffic: Traffic) -> None:
        # numba is imported by the first refinement, not by commands that refine nothing.
        from nmcompiler.mapping import anneal_atoms
        from nmcompiler.sim.jit import jit

        self._run = jit(anneal_atoms.anneal_atoms)
        self._cores = cores
        self._owner = parts.owner
        target = parts.needs.target
        spikes = np.concatenate([parts.sums(name, traffic.spikes[name]) for name in parts.first])
        limit = _limits(usable(target)[0], target.membrane_bits, target.populations_per_core)
        reader, read = parts.reads
        by_source = np.argsort(read, kind="stable")
        numbers = np.arange(len(parts) + 1)
        ends = np.array([*parts.first.values(), len(parts)])
        self._graph = (
            np.searchsorted(read[by_source], numbers),
            reader[by_source],
            ends[parts.population],
            ends[parts.population + 1],
            np.flatnonzero(parts.owner < cores),
            spikes,
            parts.neurons,
        )
        self._items, sums = _held(parts, reader, read, limit)
        self._work = sums, np.ascontiguousarray(_times(parts, spikes, traffic).transpose(2, 0, 1))
        self._outlines = _outlines(parts)
        self._places = places.row, places.along
        time = stretches(parts.needs.spiking.schedule)
        whole = max(whole_chip_times_ns(target).values(), default=0.0)
        self._even = self._work[1].sum(axis=0).max(axis=0) / cores
        self._whole = whole * time.steps
        self._mean = float(spikes.mean())
        # What is counted twice here, as thresholds of several sets may be, must not forbid what there is.
        self._limit = limit
        self._limit[: len(_RESOURCES)] = np.maximum(limit[:-1], self._state(parts.owner)[2].max(axis=0))

    @property
    def touched(self) -> float:
        """Nets and other items that a move looks at, on average."""
        return _LOOKS * float(len(self._items[1]) / max(len(self._graph[4]), 1) + 1)

    @property
    def least(self) -> float:
        """How long cores take that are all as busy."""
        return max(float(np.maximum(self._even, self._whole).sum()), 1e-9)

    def figures(self, owner: Array) -> tuple[float, float]:
        """Returns what it costs to have atoms on these cores, and how long the busiest cores take."""
        state = self._state(owner)
        cost, _ = self._call(state, self._even, 0, (0.0, 0.0), 0.0, 0)
        busiest = state[3].max(axis=(0, 1))
        return cost, float(np.maximum(busiest, self._whole).sum())

    def anneal(self, moves: int, hot: float, goal: float, seed: int) -> tuple[float, float, Array]:
        """Returns the cost, the time and the core of each atom with which a run ends."""
        goals = np.maximum(self._even * goal, self._whole)
        state = self._state(self._owner)
        before, _ = self._call(state, goals, 0, (0.0, 0.0), 0.0, 0)
        price = _PRICE * before / max(float(goals.sum()), 1e-9)
        self._call(state, goals, moves, (self._mean * _HOT * hot, self._mean * _COLD), price, seed)
        return *self.figures(state[0]), state[0]

    def _state(self, owner: Array) -> tuple[Array, ...]:
        """Returns what cores hold, as the kernel takes it."""
        owner = owner.copy()
        first, item, resource, cost = self._items
        sums, ns = self._work
        atoms, cores = len(owner), self._cores
        placed = np.flatnonzero(owner < cores)
        count = np.zeros((len(resource), cores), np.int32)
        holder = np.repeat(np.arange(atoms), np.diff(first))
        np.add.at(count, (item, owner[holder]), 1)  # only atoms on cores need anything
        used = np.zeros((cores, len(_RESOURCES)), np.int64)
        np.add.at(used, owner[placed], sums[placed])
        for r in range(len(_RESOURCES)):
            of = resource == r
            used[:, r] += ((count[of] > 0) * cost[of, None]).sum(axis=0)
        words = -(-cores // 64)
        read = np.zeros((atoms, words * 64), bool)
        read[:, :cores] = count[:atoms] > 0
        reached = np.packbits(read, axis=1, bitorder="little").view("<u8").astype(np.uint64)
        degree, neurons = read.sum(axis=1), self._graph[6]
        used[:, _OUTPUTS] = np.bincount(owner[placed], (degree * neurons)[placed], cores).astype(np.int64)
        load = np.zeros((cores, *ns.shape[1:]))
        np.add.at(load, owner[placed], ns[placed])
        return owner, count, used, load, reached

    def _call(
        self,
        state: tuple[Array, ...],
        goals: Array,
        moves: int,
        temperatures: tuple[float, float],
        price: float,
        seed: int,
    ) -> tuple[float, float]:
        """Moves atoms; returns the multicast cost and the time beyond the goals."""
        seed %= 2**63  # the kernel is compiled for one type of it
        bend = self._mean * _BEND
        how = moves, temperatures, (price, price * _DEARER), (bend, bend * _STIFFER), seed
        tables = self._graph, self._items, self._work, self._outlines, self._limit, self._places, goals
        cost, late = self._run(*tables, state, *how)
        return float(cost), float(late)


def _limits(limits: Limits, membrane_bits: int, populations: int | None) -> Array:
    """Returns what a core holds of each resource, and on how many cores a neuron may be read."""
    neurons, found = limits.neurons, {r: getattr(limits, r, None) for r in _RESOURCES}
    if limits.state_bits is not None and membrane_bits:
        most = limits.state_bits // membrane_bits
        neurons = most if neurons is None else min(neurons, most)
    found |= {"neurons": neurons, "populations": populations}
    stated = [*found.values(), limits.destinations]
    return np.array([_NO_LIMIT if limit is None else limit for limit in stated], np.int64)


def _held(
    parts: Atoms, reader: Array, read: Array, limit: Array
) -> tuple[tuple[Array, Array, Array, Array], Array]:
    """Returns what atoms need once on a core, as the kernel takes it, and what each adds."""
    target, count = parts.needs.target, len(parts)
    sums = np.zeros((count, len(_RESOURCES)), np.int64)
    each = parts.neurons if target.axon_unit == "neuron" else np.ones(count, np.int64)
    resource, cost = [_INPUTS] * count, (each * target.axons_per_source).tolist()
    numbers: dict[Any, int] = {}
    holders, held = [], []

    def need(atom: int, what: Any, of: int, amount: int) -> None:
        if limit[of] == _NO_LIMIT:
            return
        if what not in numbers:
            numbers[what] = len(resource)
            resource.append(of)
            cost.append(amount)
        holders.append(atom)
        held.append(numbers[what])

    for name, needs in parts.needs.populations.items():
        costs = BoxCosts(needs, Outputs(np.zeros(needs.shape, np.int64)))
        for atom in parts.of(name):
            piece = costs.piece(parts.box(atom))
            sums[atom, _NEURONS] = piece.sums["neurons"]
            need(atom, (name,), _POPULATIONS, 1)
            if len(piece.thetas) <= _FEW_THETAS:
                for theta in piece.thetas:
                    need(atom, theta, _THRESHOLDS, 1)
            else:
                need(atom, piece.thetas, _THRESHOLDS, len(piece.thetas))
            if piece.kernels is None:
                sums[atom, _SYNAPSES] = piece.synapse_bits
            else:
                need(atom, (name, piece.box.c0, piece.box.c1), _SYNAPSES, piece.kernels)
    who = np.concatenate([reader, np.array(holders, np.int64)])
    what = np.concatenate([read, np.array(held, np.int64)])
    by_atom = np.argsort(who, kind="stable")
    first = np.searchsorted(who[by_atom], np.arange(count + 1))
    return (first, what[by_atom], np.array(resource, np.int64), np.array(cost, np.int64)), sums


def _outlines(parts: Atoms) -> tuple[Array, Array, Array]:
    """Returns where atoms meet, as the kernel takes it."""
    four = parts.meetings
    vertex, atom = np.divmod(np.flatnonzero(four >= 0), 4)[0], four[four >= 0]
    by_atom = np.argsort(atom, kind="stable")
    first = np.searchsorted(atom[by_atom], np.arange(len(parts) + 1))
    return first, vertex[by_atom], four


def _times(parts: Atoms, spikes: Array, traffic: Traffic) -> Array:
    """Returns what each atom adds to the time of its core: ``(parts, stretches, A)`` float64, in all steps.

    In operations, as one part, where their time is unknown.
    """
    time, target = stretches(parts.needs.spiking.schedule), parts.needs.target
    synops, sent = np.zeros((len(time.steps), len(parts))), np.zeros((len(time.steps), len(parts)))
    placed = np.zeros(len(parts), np.int64)  # inputs are on no core
    for name, needs in parts.needs.populations.items():
        mine = parts.of(name)
        placed[mine] = parts.neurons[mine]
        sent[:, mine] = np.outer(time.share[name], spikes[mine])
        for wire in needs.wires:
            share = time.share[wire.key[0]]
            arrives = np.broadcast_to(traffic.spikes[wire.key[0]], wire.source_shape)
            synops[:, mine] += np.outer(share, _arriving(parts, mine, wire.reach, arrives))
    if not is_timed(target):
        return synops[None]
    steps = time.steps[:, None]
    found = core_times_ns(target, synops / steps, placed, sent / steps)
    return np.stack([ns * steps for _, ns in found.values() if ns is not None])


def _arriving(parts: Atoms, numbers: range, reach: Reach, spikes: Array) -> Array:
    """Returns the operations that spikes of a source cause in each of some atoms."""
    if not isinstance(reach, ProductReach):
        return np.array([arriving(reach, parts.box(atom), spikes) for atom in numbers])
    boxes = parts.boxes[numbers.start : numbers.stop]
    kinds, kind = np.unique(boxes[:, 4:], axis=0, return_inverse=True)
    found = np.zeros(len(boxes))
    for k, (first, end) in enumerate(kinds.tolist()):
        some = np.flatnonzero(kind.reshape(-1) == k)
        found[some] = arriving_at(reach, first, end, spikes)[boxes[some, 0], boxes[some, 2]]
    return found
