"""The machine's limit: the additions of a program's events, and nothing else.

What a simulator has to do at least is known before it starts: every spike adds the rows of weights that it
reaches to accumulators. Here these additions are made one flat list, from the arrays of the program as
``docs/program-format.md`` has them, and from the spikes that a run recorded; a loop does nothing but add.
The list shares no code with the simulator, so that their synops are two counts of the same thing.

What is listed is what happens on the chip: an entry for every event (a binary digit in ``phase``, a spike in
``rate`` and ``rate-sync``, one for each value that is not zero in ``ttfs`` and ``graded``) and every segment
of the pattern of each run that it reaches. Taps that a program stores as one segment are one entry.

Weights are int16, as stored, accumulators int32; an entry takes 12 bytes, and indices are computed in uint64,
with which LLVM makes vector code of the inner loop. Tried beside it, and no faster: rows added by explicit
vectors with a masked rest, entries packed in one table, and entries sorted by target, by weight or by length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numba
import numpy as np
import numpy.typing as npt

from nmcompiler.program.layout import BlockKind, Program
from nmcompiler.sim import Record, Simulator

__all__ = [
    "Additions",
    "Spikes",
    "Synapses",
    "add_segments",
    "additions_of",
    "expanded",
    "run_additions",
    "spikes_of",
    "sums_of",
    "synapses_of",
]

Array: TypeAlias = npt.NDArray[Any]
Int64Array: TypeAlias = npt.NDArray[np.int64]


@numba.njit(nogil=True)  # type: ignore[untyped-decorator]
def add_segments(
    target: Array, row: Array, length: Array, weights: Array, acc: Array, start: int, end: int
) -> None:
    """Does entries ``start … end − 1`` of a list of ``Additions``; ``acc`` ``(M,)`` int32 is added to."""
    for e in range(np.uint64(start), np.uint64(end)):
        a, w, n = np.uint64(target[e]), np.uint64(row[e]), np.uint64(length[e])
        if n == np.uint64(1):  # without the set-up of a vector loop
            acc[a] += weights[w]
        else:
            for i in range(n):
                acc[a + i] += weights[w + i]


@dataclass(frozen=True, eq=False)
class Synapses:
    """What a spike of each of M neurons reaches.

    Attributes:
        first: ``(M + 1,)``: neuron g has the rows ``first[g] … first[g + 1] − 1`` of the next ones.
        block: Block that is reached.
        target: Neuron, by its number in the program, to which targets of segments are relative.
        weight: Index into the program's weights, to which weights of segments are relative.
        pattern: Row of the program's patterns.
    """

    first: Int64Array
    block: Int64Array
    target: Int64Array
    weight: Int64Array
    pattern: Int64Array


@dataclass(frozen=True, eq=False)
class Spikes:
    """The events of a sample, inputs included; all int64.

    Attributes:
        neuron: Number of the neuron that sends.
        step: Step in which it sends.
        worth: What the event stands for: the value sent, times what its step is worth.
    """

    neuron: Int64Array
    step: Int64Array
    worth: Int64Array


@dataclass(frozen=True, eq=False)
class Additions:
    """A flat list of additions ``acc[target + i] += weights[row + i]``, 0 ≤ i < length; E entries, S samples.

    Attributes:
        target: ``(E,)`` uint32: number of the first neuron.
        row: ``(E,)`` uint32: index of the first weight.
        length: ``(E,)`` uint32.
        factor: ``(E,)`` int32: what the event stands for in its target, sign and shift included; the loop
            does not look at it.
        first: ``(S + 1,)`` int64: entries of sample s are ``first[s] … first[s + 1] − 1``.
        weights: ``(W,)`` int16, those of the program.
        neurons: M.
    """

    target: Array
    row: Array
    length: Array
    factor: Array
    first: Int64Array
    weights: Array
    neurons: int

    @property
    def synops(self) -> int:
        """Additions of all samples."""
        return int(self.length.sum(dtype=np.int64))

    @property
    def samples(self) -> int:
        """S."""
        return len(self.first) - 1

    def accumulators(self) -> Array:
        """Returns new accumulators, int32, all 0."""
        return np.zeros(self.neurons, np.int32)


def synapses_of(program: Program) -> Synapses:
    """Returns the runs that a spike of each neuron reaches, over all its routes.

    Raises:
        ValueError: The program has typed crossbars, whose weights are no rows.
    """
    if (program.column("kind") == BlockKind.TYPED_CROSSBAR).any():
        raise ValueError("the synapses of a typed crossbar are no rows of weights")
    routes = np.asarray(program.arrays["routes"], np.int64)
    runs = np.asarray(program.arrays["runs"], np.int64)
    owner, run = expanded(program.column("run_n"))
    run = runs[program.column("run0")[owner] + run]
    span = 1 + max((run[:, 0] + run[:, 1]).max(initial=0), (routes[:, 3] + routes[:, 1]).max(initial=0))
    route, step = expanded(routes[:, 1])
    at = routes[route, 2] * span + routes[route, 3] + step
    order = np.argsort(at, kind="stable")
    at, source = at[order], (routes[route, 0] + step)[order]
    mine, axon = expanded(run[:, 1])
    asked = program.column("core")[owner[mine]] * span + run[mine, 0] + axon
    low, high = np.searchsorted(at, asked, "left"), np.searchsorted(at, asked, "right")
    piece, step = expanded(high - low)
    source, mine, axon = source[low[piece] + step], mine[piece], axon[piece]
    order = np.argsort(source, kind="stable")
    source, mine, axon = source[order], mine[order], axon[order]
    reached, block = run[mine], owner[mine]
    return Synapses(
        first=np.searchsorted(source, np.arange(program.neurons + 1)).astype(np.int64),
        block=block,
        target=program.column("gid0")[block] + reached[:, 3] + axon * reached[:, 6],
        weight=program.column("weight0")[block] + reached[:, 4] + axon * reached[:, 5],
        pattern=reached[:, 2],
    )


def additions_of(program: Program, x: Array | dict[str, Array]) -> Additions:
    """Returns the additions of all events that the samples cause, sample after sample.

    Within a sample they come block of targets by block of targets, so that accumulators stay in the nearest
    cache, then in the order of sources.

    Args:
        program: A program without typed crossbars.
        x: Samples, as ``Simulator.run`` takes them.
    """
    synapses = synapses_of(program)
    parts = [_listed(program, synapses, s.neuron, s.worth) for s in spikes_of(program, x)]
    columns = [np.concatenate(c) for c in zip(*parts, strict=True)]
    target, row, length = (c.astype(np.uint32) for c in columns[:3])
    return Additions(
        target=target,
        row=row,
        length=length,
        factor=columns[3].astype(np.int32),
        first=np.cumsum([0, *(len(p[0]) for p in parts)]).astype(np.int64),
        weights=np.array(program.arrays["weights"], np.int16),
        neurons=program.neurons,
    )


def run_additions(additions: Additions, threads: int = 1, repeats: int = 1) -> None:
    """Executes the list, sample after sample, ``repeats`` times; each thread has its share of the samples."""
    bounds = np.linspace(0, additions.samples, threads + 1).astype(int)
    shares = [np.array(additions.first[a : b + 1]) for a, b in pairwise(bounds)]
    if threads == 1:
        _execute(additions, shares[0], repeats)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda share: _execute(additions, share, repeats), shares))


def sums_of(additions: Additions, sample: int) -> Int64Array:
    """Returns what the events of a sample add to every neuron, ``(M,)`` int64, each event with its factor.

    The loop only adds: it is called once for each factor, on the entries that have it.
    """
    sums = np.zeros(additions.neurons, np.int64)
    mine = slice(additions.first[sample], additions.first[sample + 1])
    target, row, length, factor = (
        column[mine] for column in (additions.target, additions.row, additions.length, additions.factor)
    )
    for each in np.unique(factor).tolist():
        acc, chosen = additions.accumulators(), factor == each
        entries = target[chosen], row[chosen], length[chosen]
        add_segments(*entries, additions.weights, acc, 0, int(chosen.sum()))
        sums += each * acc.astype(np.int64)
    return sums


def _execute(additions: Additions, first: Int64Array, repeats: int) -> None:
    acc = additions.accumulators()
    columns = additions.target, additions.row, additions.length
    for _ in range(repeats):
        for start, end in pairwise(first.tolist()):
            add_segments(*columns, additions.weights, acc, start, end)


def spikes_of(program: Program, x: Array | dict[str, Array]) -> Iterator[Spikes]:
    """Yields the events of each sample, from a run that records them."""
    simulator = Simulator(program)
    ports = x if isinstance(x, dict) else {program.inputs[0].name: x}
    for sample in range(len(next(iter(ports.values())))):
        one = {name: value[sample : sample + 1] for name, value in ports.items()}
        trains = simulator.run(one, record=Record(trains=True)).trains
        assert trains is not None
        yield _sent(program, trains)


def _sent(program: Program, trains: Sequence[Array]) -> Spikes:
    gids, steps, worth = [], [], []
    population = program.column("population")
    right, last = (program.column(a) + program.column(b) for a, b in (("x0", "width"), ("c0", "channels")))
    names = ("population", "gid0", "y0", "x0", "c0", "height", "width", "channels", "fire_start", "steps")
    for values in zip(*(program.column(name).tolist() for name in names), strict=True):
        b = dict(zip(names, values, strict=True))
        width, channels = (ends[population == b["population"]].max() for ends in (right, last))
        y, x, c = np.ogrid[: b["height"], : b["width"], : b["channels"]]
        place = ((b["y0"] + y) * width + b["x0"] + x) * channels + b["c0"] + c
        sent = trains[b["population"]][0][:, place.reshape(-1)]
        step, neuron = np.nonzero(sent)
        gids.append(b["gid0"] + neuron)
        steps.append(step)
        worth.append(sent[step, neuron] * _worth(program.coding, b["steps"], step - b["fire_start"]))
    return Spikes(*(np.concatenate(parts) for parts in (gids, steps, worth)))


def _worth(coding: str, steps: int, step: Int64Array) -> Int64Array:
    """Returns what a spike in some step of its neuron's firing stands for, as the format's page says."""
    if coding == "phase":
        return np.asarray(2 ** (steps - 1 - step), np.int64)
    return np.asarray(steps - step if coding == "ttfs" else np.ones_like(step), np.int64)


def _listed(
    program: Program, synapses: Synapses, gid: Int64Array, worth: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
    """Returns target, row, length and factor of every addition of some events."""
    event, step = expanded(synapses.first[gid + 1] - synapses.first[gid])
    reached = synapses.first[gid[event]] + step
    order = np.lexsort((reached, synapses.block[reached]))
    event, reached = event[order], reached[order]
    patterns = np.asarray(program.arrays["patterns"], np.int64)
    segments = np.asarray(program.arrays["segments"], np.int64)
    pattern = synapses.pattern[reached]
    row, step = expanded(patterns[pattern + 1] - patterns[pattern])
    weight, target, length = segments[patterns[pattern[row]] + step].T
    reached = reached[row]
    factor = worth[event[row]] << program.column("shift")[synapses.block[reached]]
    return synapses.target[reached] + target, synapses.weight[reached] + weight, length, factor


def expanded(counts: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Returns, for rows that stand for ``counts`` entries each, the row and the place of every entry."""
    row = np.repeat(np.arange(len(counts)), counts)
    return row, np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts)
