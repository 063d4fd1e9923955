"""Resolves routes: which neurons feed which runs, and how many mesh links a spike crosses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from nmcompiler.program.layout import IntArray, Program
from nmcompiler.sim.result import Int64Array

__all__ = ["overlaps", "static_hops", "tree_links"]


def overlaps(
    first_a: Int64Array, end_a: Int64Array, first_b: Int64Array, end_b: Int64Array
) -> tuple[Int64Array, Int64Array, Int64Array, Int64Array]:
    """Returns all pairs of half-open intervals of a and b that overlap.

    Returns:
        ``(index in a, index in b, first, end)`` of each overlap, sorted by a, then by the start of b.
    """
    order = np.argsort(first_b, kind="stable")
    starts = first_b[order]
    reach = np.maximum.accumulate(end_b[order]) if len(order) else end_b
    low = np.searchsorted(reach, first_a, side="right")
    high = np.maximum(np.searchsorted(starts, end_a, side="left"), low)
    count = high - low
    a = np.repeat(np.arange(len(first_a)), count)
    within = np.arange(len(a)) - np.repeat(np.cumsum(count) - count, count)
    b = order[np.repeat(low, count) + within]
    first, end = np.maximum(first_a[a], first_b[b]), np.minimum(end_a[a], end_b[b])
    keep = end > first
    return a[keep], b[keep], first[keep], end[keep]


def tree_links(source: tuple[int, int], destinations: Iterable[tuple[int, int]]) -> int:
    """Returns the links of the union of routes from one core to several, each (row, column).

    A route goes along the row of its source first, then along the column of its destination. So the tree
    is one stem along the row, out to the furthest columns, and a branch up and down in each column.
    """
    row, column = source
    columns: dict[int, list[int]] = {}
    for r, c in destinations:
        columns.setdefault(c, []).append(r)

    def span(start: int, ends: Iterable[int]) -> int:
        reached = [start, *ends]
        return max(reached) - min(reached)

    return span(column, columns) + sum(span(row, rows) for rows in columns.values())


def static_hops(program: Program) -> Int64Array:
    """Returns ``(M,)``: the mesh links that one spike of each neuron crosses."""
    hops = np.zeros(program.neurons, np.int64)
    cores = np.asarray(program.arrays["cores"], np.int64)
    where = [(int(r), int(chip * program.target.mesh.columns + c)) for chip, r, c in cores]
    gid0, core = program.column("gid0"), program.column("core")
    known: dict[tuple[int, frozenset[int]], int] = {}
    for first, end, reached in _destinations(program.arrays["routes"], gid0):
        source = int(core[np.searchsorted(gid0, first, side="right") - 1])
        key = (source, reached)
        if key not in known:
            start = where[source] if source >= 0 else (0, 0)
            known[key] = tree_links(start, (where[c] for c in reached))
        hops[first:end] = known[key]
    return hops


def _destinations(routes: IntArray, gid0: IntArray) -> Iterator[tuple[int, int, frozenset[int]]]:
    """Yields ranges of neurons, none across two blocks, with the set of cores that their spikes reach."""
    opening: dict[int, list[int]] = {}
    closing: dict[int, list[int]] = {}
    for gid, n, core, _, _ in np.asarray(routes).tolist():
        opening.setdefault(gid, []).append(core)
        closing.setdefault(gid + n, []).append(core)
    marks = sorted({*opening, *closing, *gid0.tolist()})
    active: Counter[int] = Counter()
    for first, end in pairwise(marks):
        active.update(opening.get(first, ()))
        active.subtract(closing.get(first, ()))
        reached = frozenset(c for c, count in active.items() if count)
        if reached:
            yield first, end, reached
