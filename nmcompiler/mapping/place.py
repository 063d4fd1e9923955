"""Placement: the best of several regular starts, improved by simulated annealing.

A move takes a core to another position of its core type, or swaps two. First the multicast cost is made
small, then, where that makes a sample shorter, the load of the busiest links.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.mapping.curve import hilbert, snake
from nmcompiler.mapping.link_times import LinkTimes
from nmcompiler.mapping.nets import Nets
from nmcompiler.mapping.pairs import Pairs, are_pairs
from nmcompiler.mapping.route import Positions
from nmcompiler.mapping.trees import Limits, Run, Trees
from nmcompiler.target.model import Target

__all__ = ["Board", "Spot", "place", "positions"]

# Starts that are annealed, the best ones, and how often each: runs of the same length end differently.
_STARTS, _RUNS = 2, 4
# Where links decide, they may carry these shares of what the busiest carries, a run for each.
_SHARES = (0.8, 0.7, 0.6, 0.5)
_OF_LINKS = 8  # an eighth as many moves, which take longer
# Moves of a run, and of each of its cores, below which there are fewer runs instead.
_SHORTEST, _OF_EACH = 5_000, 1_000
# So few cores are placed in many short runs, with so many moves of each core, from orders drawn at random:
# what decides is where a run begins. Of ResNet-8 on 7 cores one in thirty ends at the optimum, however long.
_FEW, _OF_FEW = 12, 75


@dataclass(frozen=True)
class Spot:
    """A position of a core: chip, row and column on the chip's mesh, and the core type there."""

    chip: int
    row: int
    column: int
    kind: int


class Board:
    """The positions of all cores of some chips, chip by chip along the Hilbert curve.

    Attributes:
        target: The chip.
        chips: Number of chips.
        row: ``(S,)`` int64.
        column: ``(S,)`` int64 on the common mesh, ``chip · columns + column``.
        chip: ``(S,)`` int64.
        kind: ``(S,)`` int64: type of the core there.
        at: ``(rows, columns)`` int64: number of each position, −1 where there is none.
        along: ``(columns,)`` float64: where each column lies, in links of a chip, where a link to the next
            chip is as long as ``target.mesh.off_chip_hops`` of these.
    """

    def __init__(self, target: Target, chips: int) -> None:
        """Lays out so many chips."""
        self.target = target
        self.chips = chips
        rows, columns = target.mesh.rows, target.mesh.columns
        here = np.array(hilbert(rows, columns), np.int64).reshape(-1, 2)
        here = here[here[:, 0] * columns + here[:, 1] < target.cores_per_chip]
        kinds = np.array([target.core_type(core) for core in range(target.cores_per_chip)], np.int64)
        self.row, local = (np.tile(a, chips) for a in here.T)
        self.chip = np.repeat(np.arange(chips), len(here))
        self.column = self.chip * columns + local
        self.kind = kinds[self.row * columns + local]
        self.at = np.full((rows, chips * columns), -1, np.int64)
        self.at[self.row, self.column] = np.arange(len(self.row))
        column = np.arange(chips * columns, dtype=np.float64)
        self.along = column + (target.mesh.off_chip_hops - 1) * (column // columns)

    def spots(self, placed: Array) -> list[Spot]:
        """Returns the position of each core, given their numbers."""
        columns = self.target.mesh.columns
        chip, row, column, kind = (a[placed].tolist() for a in (self.chip, self.row, self.column, self.kind))
        return [Spot(*spot) for spot in zip(chip, row, (c % columns for c in column), kind, strict=True)]

    def numbers(self, placed: Sequence[Spot]) -> Array:
        """Returns the number of each position."""
        row, column = (np.array([getattr(s, k) for s in placed], np.int64) for k in ("row", "column"))
        chip = np.array([s.chip for s in placed], np.int64)
        found: Array = self.at[row, chip * self.target.mesh.columns + column]
        return found

    def starts(self, kinds: Sequence[int]) -> Iterator[Array]:
        """Yields regular placements: each core on the next free position of its type along a curve.

        Curves are the Hilbert curve, which comes first, and strips of so many rows or columns that turn at
        their ends.

        Args:
            kinds: Core type of each core, in topological order; together the chips must have enough of each.
        """
        wanted = np.array(kinds, np.int64)
        for order in self._curves():
            where = np.empty(len(wanted), np.int64)
            for kind in np.unique(wanted):
                mine = np.flatnonzero(wanted == kind)
                where[mine] = order[self.kind[order] == kind][: len(mine)]
            yield where

    def _curves(self) -> Iterator[Array]:
        """Yields all positions, chip by chip along each curve."""
        yield np.arange(len(self.row))
        rows, columns = self.target.mesh.rows, self.target.mesh.columns
        local = self.column % columns
        ranks = [snake(rows, columns, height) for height in _heights(rows)]
        ranks += [snake(columns, rows, width).T for width in _heights(columns)]
        for rank in ranks:
            yield np.lexsort((rank[self.row, local], self.chip))


def _heights(rows: int) -> list[int]:
    """Returns the heights of strips worth trying: those that cut all rows into 1, 2, 3, … strips."""
    return sorted({-(-rows // strips) for strips in range(1, rows + 1)})


def positions(placed: Sequence[Spot], target: Target) -> Positions:
    """Returns where cores, and last the host, stand on the common mesh."""
    return Positions(
        np.array([*(s.row for s in placed), 0], np.int64),
        np.array([*(s.chip * target.mesh.columns + s.column for s in placed), 0], np.int64),
    )


def place(
    board: Board,
    kinds: Sequence[int],
    nets: Nets,
    *,
    moves: int,
    seed: int,
    times: LinkTimes | None = None,
    start: Sequence[Spot] | None = None,
    progress: Progress = silent,
) -> list[Spot]:
    """Returns the positions of cores: the cost is at most that of the best regular placement.

    The cost is that of multicast, a link to another chip being as long as the target says. The best few of
    these are annealed, each with its share of the moves; few cores in many short runs, from random orders.
    Where links then decide how long a sample takes, further moves are spent on the busiest of them, as far as
    ``times`` allows these to cost more.

    Args:
        board: All positions.
        kinds: Core type of each core, in topological order.
        nets: What travels.
        moves: Number of moves that are tried; without any, cores lie along the Hilbert curve.
        seed: Of the random numbers; equal seeds give equal placements.
        times: How long links take; None where only the multicast cost counts.
        start: A placement that may be better than the regular ones; the cost is at most that of it, too.
        progress: Told between parts of the work.
    """
    placements = list(board.starts(kinds)) if start is None else [board.numbers(start), *board.starts(kinds)]
    if not len(nets.source) or moves == 0:
        return board.spots(placements[0])
    plain = are_pairs(nets) and board.chips == 1
    kernel = Pairs(board, nets, len(kinds)) if plain else Trees(board, nets, len(kinds))
    order = np.argsort(kernel.costs(placements), kind="stable").tolist()
    best, cost = placements[order[0]], kernel.cost(placements[order[0]])
    work, done = _runs([placements[k] for k in order], kinds, moves, seed), 0
    for run, (placed, after) in zip(work, _annealed(kernel, work), strict=True):
        done += run.moves
        progress("placement", done, moves)
        if after < cost:
            best, cost = placed, after
    if times is not None:
        best = _relieved(Trees(board, nets, len(kinds)), best, cost, times, moves, seed)
    return board.spots(best)


def _runs(placements: Sequence[Array], kinds: Sequence[int], moves: int, seed: int) -> list[Run]:
    """Returns runs that together have so many moves, of placements of which the first is the best."""
    cores, best = len(kinds), placements[:_STARTS]
    few = cores <= _FEW
    most, shortest = (moves, _OF_FEW * cores) if few else (_STARTS * _RUNS, max(_SHORTEST, _OF_EACH * cores))
    count = min(most, max(1, moves // shortest))
    ends = np.linspace(0, moves, count + 1).astype(int).tolist()
    starts = [best[k % len(best)] for k in range(count)]
    if few:
        draw = np.random.default_rng(seed % 2**63)
        starts[len(best) :] = [_shuffled(best[0], np.array(kinds), draw) for _ in starts[len(best) :]]
    return [Run(starts[k], ends[k + 1] - ends[k], seed * count + k) for k in range(count)]


def _shuffled(placed: Array, kinds: Array, draw: np.random.Generator) -> Array:
    """Returns a placement in which cores of a type are in another order."""
    order = np.lexsort((draw.random(len(kinds)), kinds))
    shuffled = np.empty_like(placed)
    shuffled[np.argsort(kinds, kind="stable")] = placed[order]
    return shuffled


def _annealed(kernel: Pairs | Trees, work: Sequence[Run]) -> Iterator[tuple[Array, float]]:
    """Yields the placement that each run ends with, and its cost.

    Runs know nothing of one another, so that as many threads as there are processors change nothing.
    """
    with ThreadPoolExecutor(max(1, min(len(work), os.cpu_count() or 1))) as pool:
        yield from pool.map(kernel.anneal, work)


def _relieved(kernel: Trees, best: Array, cost: float, times: LinkTimes, moves: int, seed: int) -> Array:
    """Returns a placement whose busiest links let a sample be shorter, or the same one."""
    slots = len(times.core_ns)
    loads = kernel.loads(best, times.slot, slots)
    total, most = times.total(loads), cost * (1 + times.worth)
    if total <= times.core_ns.sum():
        return best
    busiest = times.busiest(loads)
    work = []
    for k, share in enumerate(_SHARES):
        limits = Limits(
            times.slot, times.limit(np.maximum(times.core_ns, share * busiest)), times.price(busiest)
        )
        work.append(Run(best, moves // _OF_LINKS // len(_SHARES), seed * len(_SHARES) + k, limits))
    for placed, after in _annealed(kernel, work):
        found = times.total(kernel.loads(placed, times.slot, slots))
        if after <= most and (found, after) < (total, cost):
            best, total, cost = placed, found, after
    return best
