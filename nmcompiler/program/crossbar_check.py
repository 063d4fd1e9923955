"""Whether the tables of typed crossbars point at things that exist and say one thing each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from nmcompiler.program.layout import CROSSBAR_ARRAYS, BlockKind, Program
from nmcompiler.program.usage import block_stretches

__all__ = ["crossbar_faults"]

Ints = npt.NDArray[np.int64]

_MOST_TYPES = 64


def crossbar_faults(program: Program) -> Iterator[str]:
    """Yields what is wrong in the tables of typed crossbars; blocks, runs and routes must be right."""
    present = [name for name in CROSSBAR_ARRAYS if name in program.arrays]
    if present and len(present) < len(CROSSBAR_ARRAYS):
        yield "the tables of typed crossbars are not complete"
        return
    typed = np.flatnonzero(program.column("kind") == BlockKind.TYPED_CROSSBAR)
    yield from _type_weights(program, typed)
    yield from _axon_types(program)
    yield from _copies(program)
    for block, types, _ in program.table("crossbars").tolist():
        yield from _points(program, block, types)


def _type_weights(program: Program, typed: npt.NDArray[np.intp]) -> Iterator[str]:
    crossbars = program.table("crossbars")
    if not np.array_equal(crossbars[:, 0], typed):
        yield "crossbars lists other blocks than the typed crossbars"
        return
    types, first = crossbars[:, 1], crossbars[:, 2]
    if ((types < 1) | (types > _MOST_TYPES)).any():
        yield "a crossbar has a wrong number of types"
    elif (
        (first < 0) | (first + types * program.column("n")[typed] > len(program.table("type_weights")))
    ).any():
        yield "a crossbar has type weights that do not exist"


def _axon_types(program: Program) -> Iterator[str]:
    core, first, count, kind = program.table("axon_types").T
    cores = len(program.arrays["cores"])
    right = (core >= 0) & (core < cores) & (first >= 0) & (count >= 1) & (kind >= 0) & (kind < _MOST_TYPES)
    if not right.all():
        yield "axon_types has a number out of range"
        return
    order = np.lexsort((first, core))
    same = core[order][1:] == core[order][:-1]
    if (same & ((first + count)[order][:-1] > first[order][1:])).any():
        yield "an axon has two types"


def _copies(program: Program) -> Iterator[str]:
    gid0, n, boxed = program.column("gid0"), program.column("n"), program.boxed
    extra = n - boxed
    expected = np.repeat(gid0 + boxed - np.cumsum(extra) + extra, extra) + np.arange(extra.sum())
    copies = program.table("copies")
    if not np.array_equal(copies[:, 0], expected):
        yield "copies lists other neurons than those beyond the boxes of their blocks"
        return
    block = np.repeat(np.arange(len(n)), extra)
    if ((copies[:, 1] < gid0[block]) | (copies[:, 1] >= (gid0 + boxed)[block])).any():
        yield "a copy is of no neuron in the box of its block"


def _points(program: Program, block: int, types: int) -> Iterator[str]:
    """Every crossing of an axon and a neuron has one bit of its own."""
    first, count = int(program.column("weight0")[block]), int(program.column("weight_n")[block])
    bits = program.arrays["weights"][first : first + count]
    if ((bits != 0) & (bits != 1)).any():
        yield f"block {block} is a crossbar and stores something else than bits"
    stretches = block_stretches(program, block)
    row = np.repeat(np.arange(len(stretches.length)), stretches.length)
    step = np.arange(len(row)) - np.repeat(np.cumsum(stretches.length) - stretches.length, stretches.length)
    places = stretches.weight[row] + step
    crossings = stretches.axon[row] * program.column("n")[block] + stretches.target[row] + step
    if _repeats(places) or _repeats(crossings):
        yield f"block {block} is a crossbar and stores a crossing twice, or two as one bit"
    core = int(program.column("core")[block])
    axons = np.unique(stretches.axon)
    if (types_of(program, core, axons) >= types).any():
        yield f"block {block} has no weight for the type of one of its axons"


def _repeats(numbers: Ints) -> bool:
    ascending = np.sort(numbers, kind="stable")  # most are in order: a stable sort is done at once
    return bool((ascending[1:] == ascending[:-1]).any())


def types_of(program: Program, core: int, axons: Ints) -> Ints:
    """Returns the types of some axons of a core; 0 where nothing is said."""
    table = program.table("axon_types")
    mine = table[table[:, 0] == core]
    mine = mine[np.argsort(mine[:, 1])]
    if not len(mine):
        return np.zeros(len(axons), np.int64)
    row = np.searchsorted(mine[:, 1], axons, side="right") - 1
    inside = (row >= 0) & (axons < mine[row, 1] + mine[row, 2])
    return np.where(inside, mine[row, 3], 0)
