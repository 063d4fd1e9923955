"""Resolves routes: which neurons feed which runs, and how many mesh links a spike crosses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nmcompiler.program.layout import IntArray, Program
from nmcompiler.sim.result import Int64Array

__all__ = ["Journeys", "Tree", "destinations", "overlaps", "places", "route_tree", "static_hops"]

_HOST = (0, 0)  # where it stands on the common mesh


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


@dataclass(frozen=True)
class Tree:
    """The union of the routes from one core to several.

    A route goes along the row of its source first, then along the column of its destination. So the union
    is one stem along the row, out to the furthest columns, and a branch up and down in each column.

    Attributes:
        row: Row of the source.
        column: Column of the source.
        west: First column of the stem, at most ``column``.
        east: Its last column.
        branches: ``(column, first row, last row)``; the source's row lies between the two.
    """

    row: int
    column: int
    west: int
    east: int
    branches: tuple[tuple[int, int, int], ...]

    @property
    def links(self) -> tuple[int, int]:
        """Links along the row and links along columns."""
        return self.east - self.west, sum(last - first for _, first, last in self.branches)

    def crosses(self, direction: str, row: int, column: int) -> bool:
        """Whether the link from a place to the ``east``, ``west``, ``south`` or ``north`` is one of them."""
        if direction in ("east", "west"):
            first, end = (self.column, self.east) if direction == "east" else (self.west + 1, self.column + 1)
            return row == self.row and first <= column < end
        for branch, top, bottom in self.branches:
            if branch == column:
                first, end = (self.row, bottom) if direction == "south" else (top + 1, self.row + 1)
                return first <= row < end
        return False


def route_tree(source: tuple[int, int], ends: Iterable[tuple[int, int]]) -> Tree:
    """Returns the union of the routes from one core to several, each ``(row, column)``."""
    row, column = source
    columns: dict[int, list[int]] = {}
    for r, c in ends:
        columns.setdefault(c, [row]).append(r)
    branches = tuple((c, min(rows), max(rows)) for c, rows in sorted(columns.items()))
    return Tree(row, column, min([column, *columns]), max([column, *columns]), branches)


def places(program: Program) -> list[tuple[int, int]]:
    """Returns ``(row, column)`` of each core on the common mesh, on which chips stand side by side."""
    cores = np.asarray(program.arrays["cores"], np.int64)
    return [(int(r), int(chip * program.target.mesh.columns + c)) for chip, r, c in cores]


class Journeys:
    """The route trees of spikes, by source core (−1 for the host) and the set of cores that they reach.

    Where all are loaded together that is one tree. Spikes that a later pass reads travel with the others to
    the host, at row 0, column 0 of chip 0, and from there in every later pass to its cores.
    """

    def __init__(self, program: Program) -> None:
        """Finds no tree yet; each is made once."""
        self._where, self._turn = places(program), program.turns.tolist()
        self._known: dict[tuple[int, frozenset[int]], tuple[tuple[int, Tree], ...]] = {}

    def trees(self, source: int, reached: frozenset[int]) -> tuple[tuple[int, Tree], ...]:
        """Returns the tree of each pass in which a spike travels, with the number of the pass."""
        key = (source, reached)
        if key not in self._known:
            self._known[key] = tuple(self._made(source, reached))
        return self._known[key]

    def _made(self, source: int, reached: frozenset[int]) -> Iterator[tuple[int, Tree]]:
        ends: dict[int, list[tuple[int, int]]] = {}
        for core in sorted(reached):
            ends.setdefault(self._turn[core], []).append(self._where[core])
        own = self._turn[source] if source >= 0 else -1
        if own >= 0 and any(turn > own for turn in ends):
            ends.setdefault(own, []).append(_HOST)
        for turn, places_of in sorted(ends.items()):
            yield turn, route_tree(self._where[source] if turn == own else _HOST, places_of)


def static_hops(program: Program) -> Int64Array:
    """Returns ``(M,)``: the mesh links that one spike of each neuron crosses, in all passes together."""
    hops = np.zeros(program.neurons, np.int64)
    gid0, core = program.column("gid0"), program.column("core")
    journeys = Journeys(program)
    for first, end, reached in destinations(program.arrays["routes"], gid0):
        source = int(core[np.searchsorted(gid0, first, side="right") - 1])
        hops[first:end] = sum(sum(tree.links) for _, tree in journeys.trees(source, reached))
    return hops


def destinations(routes: IntArray, gid0: IntArray) -> Iterator[tuple[int, int, frozenset[int]]]:
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
        for core in closing.get(first, ()):
            active[core] -= 1
            if not active[core]:  # what is left behind would be looked at for every neuron to come
                del active[core]
        if active:
            yield first, end, frozenset(active)
