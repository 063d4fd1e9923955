"""The integer network inside a program: populations, and synapses followed through routes and runs.

Only cores, axons, routes, runs, patterns, weights, parameters and times are read, never ``names`` or
``golden``. Synapses come block by block, those of a large block by ranges of targets, so that memory stays
bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from nmcompiler.ir.kernels import Array, Shape
from nmcompiler.program.layout import BLOCK_COLUMNS, Program

__all__ = ["Block", "BlockSynapses", "Lifted", "LiftedPopulation", "sum_synapses"]

CHUNK_SYNAPSES = 1 << 22


@dataclass(frozen=True, eq=False)
class LiftedPopulation:
    """A population as the program has it.

    Attributes:
        number: Its number.
        shape: ``(height, width, channels)``, from its boxes.
        is_input: Whether the host feeds it.
        levels: Largest value L; 0 for a read-out that is read from its membrane.
        signed: 0, 1 or 2 as in the program format.
        window: When it fires.
        fire_start: When it fires.
        steps: When it fires.
        shift: Arriving weights count 2^shift.
        theta: Threshold of each neuron, int64 of ``shape``.
        v0: Start of each membrane; what chips that fire on v > θ add is taken off.
        current: Bias current of each neuron.
    """

    number: int
    shape: Shape
    is_input: bool
    levels: int
    signed: int
    window: int
    fire_start: int
    steps: int
    shift: int
    theta: Array
    v0: Array
    current: Array

    @property
    def bias(self) -> Array:
        """Bias of each neuron in codes without current: ``v0 − ⌊θ/2⌋``, ``v0`` where it has no levels."""
        bias: Array = self.v0 - self.theta // 2 if self.levels else self.v0
        return bias


@dataclass(frozen=True, eq=False)
class BlockSynapses:
    """Synapses into a range of neurons of one block, those of weight 0 included.

    Attributes:
        target: ``(k,)`` int64 position in the block less ``start``.
        source: ``(k,)`` int64 code of the source, ``delay · neurons + place`` (see ``Lifted.place``).
        weight: ``(k,)`` int64.
    """

    target: Array
    source: Array
    weight: Array


@dataclass(frozen=True, eq=False)
class Lifted:
    """The network that a program computes.

    Attributes:
        program: The program; only its arrays and header are read.
        populations: By number.
    """

    program: Program
    populations: tuple[LiftedPopulation, ...]

    @cached_property
    def first_place(self) -> Array:
        """``(P + 1,)`` int64: place of each population's first neuron, all populations in flat order."""
        sizes = [int(np.prod(p.shape)) for p in self.populations]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    @cached_property
    def place(self) -> Array:
        """``(neurons,)`` int64: place of every neuron, by its number."""
        return np.concatenate([self.first_place[b.population] + b.flat for b in self.blocks])

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """The blocks, in the order of the program."""
        return _blocks(self.program, tuple(p.shape for p in self.populations))

    @cached_property
    def _cores(self) -> tuple[tuple[Array, Array], ...]:
        """For each core its fed axons, ascending (repeated where fed twice), and the codes of the sources."""
        return tuple(self._core(routes) for routes in self.program.routes_by_core)

    def _core(self, routes: Array) -> tuple[Array, Array]:
        gid0, n, _, axon0, delay = routes.T
        step = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        axons = np.repeat(axon0, n) + step
        codes = np.repeat(delay, n) * len(self.place) + self.place[np.repeat(gid0, n) + step]
        order = np.argsort(axons, kind="stable")
        return axons[order], codes[order]

    def synapses(self, block: Block, start: int, stop: int) -> BlockSynapses:
        """Returns the synapses into neurons ``start`` to ``stop − 1`` of a block."""
        entries = self._entries(block)
        return entries.expand(self.program.arrays["weights"], start, stop)

    def ranges(self, block: Block) -> Iterator[tuple[int, int, BlockSynapses]]:
        """Yields the block's synapses by ranges of its neurons, each of bounded size."""
        entries = self._entries(block)
        size = max(1, block.n * CHUNK_SYNAPSES // max(entries.total, 1))
        for start in range(0, block.n, size):
            stop = min(start + size, block.n)
            yield start, stop, entries.expand(self.program.arrays["weights"], start, stop)

    def projections(self) -> dict[tuple[int, int, int], tuple[Array, Array, Array]]:
        """Returns all synapses by (source population, target population, delay).

        Each is target position, source position and weight, sorted by the positions; equal pairs are
        summed and zeros dropped. Only for networks whose synapses fit memory.
        """
        found: dict[tuple[int, int, int], list[tuple[Array, Array, Array]]] = {}
        for block in self.blocks:
            for start, _, part in self.ranges(block):
                delay, place = np.divmod(part.source, len(self.place))
                source = np.searchsorted(self.first_place, place, side="right") - 1
                for s, d in sorted(set(zip(source.tolist(), delay.tolist(), strict=True))):
                    kept = (source == s) & (delay == d)
                    target = block.flat[start + part.target[kept]]
                    columns = place[kept] - self.first_place[s]
                    found.setdefault((s, block.population, d), []).append(
                        (target, columns, part.weight[kept])
                    )
        summed = {
            key: sum_synapses(*map(np.concatenate, zip(*parts, strict=True))) for key, parts in found.items()
        }
        return {key: summed[key] for key in sorted(summed) if len(summed[key][0])}

    def _entries(self, block: Block) -> _Entries:
        if block.core < 0:
            return _Entries.none()
        runs = self.program.arrays["runs"][block.run0 : block.run0 + block.run_n].astype(np.int64)
        axon0, n, pattern, target0, weight0, weight_stride, target_stride = runs.T
        run = np.repeat(np.arange(len(runs)), n)
        step = np.arange(len(run)) - np.repeat(np.cumsum(n) - n, n)
        axons, codes = self._cores[block.core]
        low = np.searchsorted(axons, axon0[run] + step, side="left")
        fed = np.searchsorted(axons, axon0[run] + step, side="right") - low
        again = np.repeat(np.arange(len(run)), fed)
        source = codes[np.repeat(low - np.cumsum(fed) + fed, fed) + np.arange(len(again))]
        run, step = run[again], step[again]
        entries = _Entries(
            pattern=pattern[run],
            source=source,
            target=target0[run] + step * target_stride[run],
            weight=block.weight0 + weight0[run] + step * weight_stride[run],
            flat=self._patterns,
        )
        if block.type_weights is None:
            return entries
        table = self.program.table("axon_types")
        kinds = _kinds(table[table[:, 0] == block.core], axon0[run] + step)
        return replace(entries, kinds=kinds, type_weights=block.type_weights)

    @cached_property
    def _patterns(self) -> _FlatPatterns:
        starts = self.program.arrays["patterns"].astype(np.int64)
        return _FlatPatterns.of(starts, self.program.arrays["segments"].astype(np.int64))


@dataclass(frozen=True, eq=False)
class Block:
    """A block, as far as lift reads it.

    ``flat`` is the position in the population of each neuron, of a copy that of its original;
    ``type_weights`` ``(n, types)`` are those of a typed crossbar, None where synapses have their own weights.
    """

    population: int
    core: int
    n: int
    run0: int
    run_n: int
    weight0: int
    flat: Array
    type_weights: Array | None = None


@dataclass(frozen=True, eq=False)
class _FlatPatterns:
    """Patterns with every weight of every segment: offsets of weights and targets, one after another."""

    starts: Array
    counts: Array
    weight: Array
    target: Array
    lowest: Array
    highest: Array

    @classmethod
    def of(cls, starts: Array, segments: Array) -> _FlatPatterns:
        weight, target, length = segments.T
        step = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        ends = np.concatenate([[0], np.cumsum(length)])
        if len(starts) == 1:
            none = np.zeros(0, np.int64)
            return cls(none, none, none, none, none, none)
        return cls(
            starts=ends[starts[:-1]],
            counts=ends[starts[1:]] - ends[starts[:-1]],
            weight=np.repeat(weight, length) + step,
            target=np.repeat(target, length) + step,
            lowest=np.minimum.reduceat(target, starts[:-1]),
            highest=np.maximum.reduceat(target + length, starts[:-1]),
        )


@dataclass(frozen=True, eq=False)
class _Entries:
    """What every source of a block meets: a pattern, laid at a target and at a weight.

    In a typed crossbar ``kinds`` are the types of the axons, and stored weights are bits: a synapse has the
    weight of its neuron for the type where the bit is set.
    """

    pattern: Array
    source: Array
    target: Array
    weight: Array
    flat: _FlatPatterns
    kinds: Array | None = None
    type_weights: Array | None = None

    @classmethod
    def none(cls) -> _Entries:
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, empty, empty, _FlatPatterns(*([empty] * 6)))

    @cached_property
    def total(self) -> int:
        """Number of synapses."""
        return int(self.flat.counts[self.pattern].sum()) if len(self.pattern) else 0

    def expand(self, weights: Array, start: int, stop: int) -> BlockSynapses:
        """Returns the synapses into a range of the block's neurons."""
        if not len(self.pattern):
            return BlockSynapses(self.pattern, self.source, self.weight)
        flat = self.flat
        low, high = self.target + flat.lowest[self.pattern], self.target + flat.highest[self.pattern]
        kept = np.flatnonzero((low < stop) & (high > start))
        counts = flat.counts[self.pattern[kept]]
        place = np.repeat(flat.starts[self.pattern[kept]] - np.cumsum(counts) + counts, counts)
        place += np.arange(len(place))
        target = np.repeat(self.target[kept] - start, counts) + flat.target[place]
        source = np.repeat(self.source[kept], counts)
        weight = weights[np.repeat(self.weight[kept], counts) + flat.weight[place]].astype(np.int64)
        if self.kinds is not None and self.type_weights is not None:
            weight = weight * self.type_weights[target + start, np.repeat(self.kinds[kept], counts)]
        if (low[kept] < start).any() or (high[kept] > stop).any():
            inside = (target >= 0) & (target < stop - start)
            return BlockSynapses(target[inside], source[inside], weight[inside])
        return BlockSynapses(target, source, weight)


def _blocks(program: Program, shapes: tuple[Shape, ...]) -> tuple[Block, ...]:
    blocks = []
    copies = program.table("copies")
    crossbars = {block: (types, first) for block, types, first in program.table("crossbars").tolist()}
    for index, row in enumerate(program.arrays["blocks"].tolist()):
        b = dict(zip(BLOCK_COLUMNS, row, strict=True))
        _, width, channels = shapes[b["population"]]
        y, x = np.arange(b["y0"], b["y0"] + b["height"]), np.arange(b["x0"], b["x0"] + b["width"])
        box = (y[:, None, None] * width + x[:, None]) * channels + np.arange(b["c0"], b["c0"] + b["channels"])
        low, high = np.searchsorted(copies[:, 0], [b["gid0"], b["gid0"] + b["n"]])
        mine = copies[low:high, 1] - b["gid0"]
        flat = np.concatenate([box.ravel(), box.ravel()[mine]])
        weights = None
        if index in crossbars:
            types, first = crossbars[index]
            weights = program.table("type_weights")[first : first + b["n"] * types].reshape(-1, types)
        blocks.append(
            Block(b["population"], b["core"], b["n"], b["run0"], b["run_n"], b["weight0"], flat, weights)
        )
    return tuple(blocks)


def _kinds(table: Array, axons: Array) -> Array:
    """Returns the types of axons of one core by its rows of ``axon_types``; 0 where none says otherwise."""
    kinds = np.zeros(int(axons.max(initial=-1)) + 1, np.int64)
    for _, first, count, kind in table.tolist():
        kinds[first : first + count] = kind
    return kinds[axons]


def sum_synapses(target: Array, source: Array, weight: Array) -> tuple[Array, Array, Array]:
    """Returns the synapses sorted by target and source, equal pairs summed, zeros dropped."""
    told = weight != 0
    target, source, weight = target[told], source[told], weight[told]
    most = int(source.max(initial=0)) + 1
    if most * (int(target.max(initial=0)) + 1) < 1 << 62:
        order = np.argsort(target * most + source)  # one key sorts faster than two
    else:
        order = np.lexsort((source, target))
    target, source, weight = target[order], source[order], weight[order]
    starts = np.flatnonzero((np.diff(target, prepend=-1) != 0) | (np.diff(source, prepend=-1) != 0))
    sums = np.add.reduceat(weight, starts) if len(starts) else weight
    kept = sums != 0
    return target[starts][kept], source[starts][kept], sums[kept]
