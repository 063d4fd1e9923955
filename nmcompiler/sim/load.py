"""A program as the kernels want it: routes resolved, parameters per neuron, every index checked."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nmcompiler.codings import Coding, coding
from nmcompiler.ir.distinct import distinct
from nmcompiler.ir.schedule import Slot
from nmcompiler.program.layout import BLOCK_COLUMNS, BlockKind, Program
from nmcompiler.sim import kernels
from nmcompiler.sim.bits import crossbar_weights
from nmcompiler.sim.check import check, require, runs_of_blocks
from nmcompiler.sim.columns import PADDING
from nmcompiler.sim.events import EventTable, event_table
from nmcompiler.sim.result import Array, Int64Array
from nmcompiler.sim.routes import overlaps, static_hops

__all__ = ["Block", "LinkGroup", "Loaded", "load"]


@dataclass(frozen=True, eq=False)
class Block:
    """One block.

    Attributes:
        index: Its row in ``blocks``.
        is_input: Whether the host feeds it.
        population: Number of its population.
        gid0: First neuron.
        n: Neurons.
        signed: As stored: 0, 1 or 2.
        slot: When it fires.
        positions: int64: flat position of each neuron in its population; copies, which come last, have none.
    """

    index: int
    is_input: bool
    population: int
    gid0: int
    n: int
    signed: int
    slot: Slot
    positions: Int64Array

    @property
    def size(self) -> int:
        """Neurons less their copies."""
        return len(self.positions)

    @cached_property
    def places(self) -> slice | Int64Array:
        """``positions``, as a slice where they are next to each other: several times faster to write to."""
        first = int(self.positions[0]) if self.size else 0
        in_order = np.array_equal(self.positions, first + np.arange(self.size))
        return slice(first, first + self.size) if in_order else self.positions

    @property
    def levels(self) -> int:
        """Largest value, 0 for a read-out that is read from its membrane."""
        return self.slot.levels

    @property
    def is_readout(self) -> bool:
        """Whether its membrane is the result, and it sends nothing."""
        return not self.is_input and self.levels == 0

    @property
    def lowest(self) -> int:
        """Smallest value."""
        return -self.levels if self.signed == 1 else 0

    @property
    def read_step(self) -> int:
        """The step in which its membrane is read, before it fires."""
        return self.slot.fire_end - 1 if self.is_readout else self.slot.fire_start


@dataclass(frozen=True, eq=False)
class LinkGroup:
    """The links into one block that share a delay, as the kernels take them.

    Attributes:
        delay: Steps from sending to arriving.
        sources: Blocks that send.
        resting: Links whose axons share their targets.
        moving: Links whose targets move with the axon.
    """

    delay: int
    sources: frozenset[int]
    resting: Array
    moving: Array


@dataclass(frozen=True, eq=False)
class Loaded:
    """A program for the kernels; M neurons, B blocks.

    Attributes:
        program: Where it comes from.
        coding: Its spike code.
        blocks: Its blocks.
        population_sizes: Neurons of each population.
        links: ``(E, 12)`` uint64, sorted by target block: ``target`` block, ``source`` block, ``first``
            source neuron in its block, ``axons``, ``pattern``, first target neuron in its block, first
            ``weight``, ``weight_stride``, ``target_stride``, ``gain`` (what arrives is multiplied by it),
            ``delay``, ``route``. A link is as much of a run as one route feeds from one block.
        first_link: ``(B + 1,)`` int64: links of block b are rows ``first_link[b] … first_link[b + 1] − 1``.
        patterns: ``(P + 1,)`` uint64.
        segments: ``(S, 3)`` uint64, without those of no synapse.
        weights: ``(W,)`` int16; of typed crossbars what the bits weigh. Blocks with equal weights, as those
            that have a layer in parts, share them: what caches hold is what differs.
        weight0: ``(B,)`` int64: where those of each block begin.
        theta: ``(M,)`` int64.
        v0: ``(M,)`` int64.
        current: ``(M,)`` int64.
        fanout: ``(M,)`` int64: synapses that a spike reaches; in typed crossbars the bits that are set.
    """

    program: Program
    coding: Coding
    blocks: tuple[Block, ...]
    population_sizes: tuple[int, ...]
    links: Array
    first_link: Int64Array
    patterns: Array
    segments: Array
    weights: Array
    weight0: Int64Array
    theta: Int64Array
    v0: Int64Array
    current: Int64Array
    fanout: Int64Array

    @property
    def neurons(self) -> int:
        """M."""
        return len(self.theta)

    @property
    def above(self) -> int:
        """1 where neurons fire on v > θ, else 0."""
        return int(self.program.fires_when == "gt")

    @property
    def maximum(self) -> int:
        """Largest register."""
        return int(2 ** (self.program.membrane_bits - 1)) - 1

    @property
    def minimum(self) -> int:
        """Smallest register."""
        return -self.maximum - 1

    @property
    def by_event(self) -> bool:
        """Whether membranes are compared after every event."""
        return self.program.dynamics.compares == "event"

    @property
    def floor(self) -> int | None:
        """What registers are lifted to after every accumulation, where the chip does so."""
        floor = self.program.dynamics.floor
        return None if floor is None else floor + self.above

    @property
    def longest_delay(self) -> int:
        """Largest delay after which anything arrives, at least 1."""
        return max((g.delay for groups in self.groups for g in groups), default=1)

    @property
    def longest_link(self) -> int:
        """Most axons of a link, at least 1."""
        return int(self.links[:, kernels.AXONS].max(initial=1))

    @cached_property
    def groups(self) -> tuple[tuple[LinkGroup, ...], ...]:
        """The links into each block by delay, without those of read-outs or that end after the sample."""
        steps, sends = self.program.total_steps, np.array([not b.is_readout for b in self.blocks])
        links = (self.links_of(b.index) for b in self.blocks)
        return tuple(_groups(a[sends[a[:, kernels.SOURCE].astype(np.int64)]], steps) for a in links)

    @cached_property
    def events(self) -> tuple[EventTable, ...]:
        """What arrives in each block, event by event."""
        return tuple(event_table(self, b.index) for b in self.blocks)

    @cached_property
    def padded_weights(self) -> Array:
        """``(W + 64,)`` int16: the weights with zeros behind them."""
        return np.concatenate([self.weights, np.zeros(PADDING, np.int16)])

    @cached_property
    def gid0(self) -> Array:
        """``(B,)`` uint64."""
        return np.array([b.gid0 for b in self.blocks], np.uint64)

    @cached_property
    def sizes(self) -> Array:
        """``(B,)`` uint64."""
        return np.array([b.n for b in self.blocks], np.uint64)

    @cached_property
    def hops(self) -> Int64Array:
        """``(M,)`` int64: mesh links that a spike crosses."""
        return static_hops(self.program)

    @cached_property
    def step_weights(self) -> tuple[Int64Array, ...]:
        """For each block ``(steps,)`` int64: what a spike of each step of its firing stands for."""
        return tuple(self.coding.decode(np.eye(b.slot.steps, dtype=np.int64), b.slot) for b in self.blocks)

    def largest_weight(self, block: Block) -> int:
        """Returns the largest magnitude of the weights of a block, 0 for an input."""
        if block.is_input:
            return 0
        first, count = int(self.weight0[block.index]), int(self.program.column("weight_n")[block.index])
        return int(np.abs(self.weights[first : first + count].astype(np.int64)).max(initial=0))

    def links_of(self, block: int) -> Array:
        """Returns the links into a block."""
        return self.links[self.first_link[block] : self.first_link[block + 1]]


def load(program: Program) -> Loaded:
    """Returns the program for the kernels.

    Raises:
        InputFileError: Where an entry of the program points outside what it must stay in.
    """
    check(program)
    code, blocks = coding(program.coding), _blocks(program)
    missed = code.misses(program.dynamics)
    require(missed is None, f"its code needs {missed}")
    links = _links(program)
    bits, weights = crossbar_weights(program)
    fanout = _fanout(program, links, bits)
    weights, weight0 = _shared(program, weights)
    links[:, kernels.WEIGHT] += (weight0 - program.column("weight0"))[links[:, kernels.TARGET]]
    theta, v0, current = (_per_neuron(program, name) for name in ("theta", "v0", "current"))
    patterns, segments = _patterns(program)
    _check_encodings(code, program, blocks)
    _check_range(code, blocks, theta)
    return Loaded(
        program=program,
        coding=code,
        blocks=blocks,
        population_sizes=_population_sizes(blocks),
        links=np.ascontiguousarray(links).view(np.uint64),
        first_link=np.searchsorted(links[:, 0], np.arange(len(blocks) + 1)).astype(np.int64),
        patterns=patterns.view(np.uint64),
        segments=segments.view(np.uint64),
        weights=weights,
        weight0=weight0,
        theta=theta,
        v0=v0,
        current=current,
        fanout=fanout,
    )


def _check_encodings(code: Coding, program: Program, blocks: tuple[Block, ...]) -> None:
    """Checks that inputs enter in a way that the code knows, and as spikes only where these are units."""
    for port in program.inputs:
        known = port.encoding in code.input_encodings
        require(known, f"input '{port.name}' enters as '{port.encoding}', and its coding is '{code.name}'")
        fed = next(b for b in blocks if b.population == port.population)
        unit = code.windowed or port.encoding != "spikes" or fed.levels <= fed.slot.steps
        require(unit, f"input '{port.name}' has {fed.levels} levels for spikes in {fed.slot.steps} steps")


def _shared(program: Program, weights: Array) -> tuple[Array, Int64Array]:
    """Returns the weights with those that several blocks have only once, and where those of each begin."""
    first, count = program.column("weight0").tolist(), program.column("weight_n").tolist()
    parts, known, begin, size = [np.zeros(0, np.int16)], {}, [], 0  # type: ignore[var-annotated]
    for low, length in zip(first, count, strict=True):
        mine = weights[low : low + length]
        alike = known.setdefault((length, zlib.crc32(mine.tobytes())), [])
        found = next((at for at, other in alike if np.array_equal(mine, other)), None)
        if found is None:
            found = size
            alike.append((size, mine))
            parts.append(mine)
            size += length
        begin.append(found)
    return np.concatenate(parts), np.array(begin, np.int64)


def _fanout(program: Program, links: Int64Array, bits: Int64Array) -> Int64Array:
    """Returns the synapses that a spike of each neuron reaches, ``(M,)``.

    ``bits`` are those before each entry of the weights, as ``crossbar_weights`` counts them.
    """
    lengths = _pattern_lengths(program)[links[:, 4]]
    fanout = np.zeros(program.neurons + 1, np.int64)
    start = program.column("gid0")[links[:, 1]] + links[:, 2]
    typed = program.column("kind")[links[:, 0]] == BlockKind.TYPED_CROSSBAR
    np.add.at(fanout, start[~typed], lengths[~typed])
    np.add.at(fanout, (start + links[:, 3])[~typed], -lengths[~typed])
    fanout = np.cumsum(fanout)[:-1]
    starts = program.arrays["patterns"].astype(np.int64)
    segments = program.arrays["segments"].astype(np.int64)
    for pattern in np.unique(links[typed, 4]).tolist():
        mine = np.flatnonzero(typed & (links[:, 4] == pattern))
        count = links[mine, 3]
        link = np.repeat(mine, count)
        axon = np.arange(len(link)) - np.repeat(np.cumsum(count) - count, count)
        at = links[link, 6] + axon * links[link, 7]
        for offset, _, length in segments[starts[pattern] : starts[pattern + 1]]:
            np.add.at(fanout, start[link] + axon, bits[at + offset + length] - bits[at + offset])
    return fanout


def _check_range(code: Coding, blocks: tuple[Block, ...], theta: Int64Array) -> None:
    """Checks that values and the thresholds of every step stay within the integers of the kernels."""
    for steps, levels in {(b.slot.steps, b.levels) for b in blocks}:
        slot = Slot(0, 0, steps, levels, False)
        # One that wraps around is not positive: a digit that no threshold of 64 bits can have.
        weights = code.decode(np.eye(steps, dtype=np.int64), slot)
        require(bool((weights > 0).all()), f"a block fires for {steps} steps")
        widest = max(int(weights.max(initial=1)), levels + 1)
        mine = [theta[b.gid0 : b.gid0 + b.n] for b in blocks if (b.slot.steps, b.levels) == (steps, levels)]
        largest = max(int(np.abs(t).max()) for t in mine)
        require(largest * widest < 2**62, f"a threshold of {largest} in a block of {levels} levels")
    if code.divides:
        firing = [theta[b.gid0 : b.gid0 + b.n] for b in blocks if not (b.is_input or b.is_readout)]
        require(all(bool((t >= 1).all()) for t in firing), "a neuron has a threshold below 1")


def _groups(links: Array, total_steps: int) -> tuple[LinkGroup, ...]:
    groups = []
    for delay in np.unique(links[:, kernels.DELAY]).tolist():
        if delay >= total_steps:
            break
        mine = links[links[:, kernels.DELAY] == delay]
        moves = mine[:, kernels.TARGET_STRIDE] != 0
        sources = frozenset(mine[:, kernels.SOURCE].tolist())
        groups.append(LinkGroup(delay, sources, mine[~moves], mine[moves]))
    return tuple(groups)


def _blocks(program: Program) -> tuple[Block, ...]:
    table = [
        dict(zip(BLOCK_COLUMNS, row, strict=True))
        for row in np.asarray(program.arrays["blocks"], np.int64).tolist()
    ]
    shapes: dict[int, tuple[int, int]] = {}
    for t in table:
        width, channels = shapes.get(t["population"], (0, 0))
        shapes[t["population"]] = max(width, t["x0"] + t["width"]), max(channels, t["c0"] + t["channels"])
    blocks = []
    for index, t in enumerate(table):
        width, channels = shapes[t["population"]]
        y = t["y0"] + np.arange(t["height"]).reshape(-1, 1, 1)
        x = t["x0"] + np.arange(t["width"]).reshape(1, -1, 1)
        c = t["c0"] + np.arange(t["channels"])
        blocks.append(
            Block(
                index=index,
                is_input=t["kind"] == BlockKind.INPUT,
                population=t["population"],
                gid0=t["gid0"],
                n=t["n"],
                signed=t["signed"],
                slot=Slot(t["window"], t["fire_start"], t["steps"], t["levels"], t["signed"] == 1),
                positions=((y * width + x) * channels + c).reshape(-1),
            )
        )
    return tuple(blocks)


def _population_sizes(blocks: tuple[Block, ...]) -> tuple[int, ...]:
    """Returns the neurons of each population, having checked that its boxes tile it."""
    sizes = []
    for number in range(1 + max((b.population for b in blocks), default=-1)):
        mine = [b.positions for b in blocks if b.population == number]
        require(bool(mine), f"population {number} has no block")
        positions = np.concatenate(mine)
        size = int(positions.max()) + 1
        tiled = len(positions) == size and len(distinct(positions)) == size
        require(tiled, f"the blocks of population {number} do not tile it")
        sizes.append(size)
    return tuple(sizes)


def _per_neuron(program: Program, name: str) -> Int64Array:
    values = np.asarray(program.arrays[name], np.int64)
    n, first, tile = (program.column(c) for c in ("n", "param0", "param_n"))
    parts = [values[p + np.arange(k) % t] for k, p, t in zip(n, first, tile, strict=True) if t > 0]
    # Input blocks may have no parameters.
    widths = [k if t > 0 else 0 for k, t in zip(n, tile, strict=True)]
    result = np.zeros(program.neurons, np.int64)
    result[np.repeat(np.array(widths) > 0, n)] = np.concatenate([*parts, np.zeros(0, np.int64)])
    return result


def _patterns(program: Program) -> tuple[Int64Array, Int64Array]:
    """Returns patterns and segments, without those of no synapse."""
    segments = np.ascontiguousarray(program.arrays["segments"], np.int64)
    some = segments[:, 2] > 0
    kept = np.concatenate([[0], np.cumsum(some, dtype=np.int64)])
    return kept[program.arrays["patterns"].astype(np.int64)], segments[some]


def _pattern_lengths(program: Program) -> Int64Array:
    """Returns the synapses of each pattern."""
    ends = np.concatenate([[0], np.cumsum(program.arrays["segments"][:, 2].astype(np.int64))])
    patterns = program.arrays["patterns"].astype(np.int64)
    return np.asarray(ends[patterns[1:]] - ends[patterns[:-1]], np.int64)


def _links(program: Program) -> Int64Array:
    """Returns the links in the columns of ``Loaded.links``, block after block."""
    runs, block = runs_of_blocks(program)
    routes = np.asarray(program.arrays["routes"], np.int64)
    core = program.column("core")
    span = 1 + max(_end(runs[:, 0] + runs[:, 1]), _end(routes[:, 3] + routes[:, 1]))
    at_run, at_route = core[block] * span + runs[:, 0], routes[:, 2] * span + routes[:, 3]
    run, route, first, end = overlaps(at_run, at_run + runs[:, 1], at_route, at_route + routes[:, 1])
    axon = first - at_run[run]
    gid = routes[route, 0] + first - at_route[route]

    gid0 = program.column("gid0")
    piece, source, low, high = overlaps(gid, gid + end - first, gid0, gid0 + program.column("n"))
    run, route, axon = run[piece], route[piece], axon[piece] + low - gid[piece]
    target = block[run]
    return np.stack(
        [
            target,
            source,
            low - gid0[source],
            high - low,
            runs[run, 2],
            runs[run, 3] + axon * runs[run, 6],
            program.column("weight0")[target] + runs[run, 4] + axon * runs[run, 5],
            runs[run, 5],
            runs[run, 6],
            np.left_shift(1, program.column("shift")[target]),
            routes[route, 4],
            route,
        ],
        axis=1,
    )


def _end(values: Int64Array) -> int:
    return int(values.max(initial=0))
