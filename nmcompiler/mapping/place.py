"""Placement: the best of several regular starts, improved by simulated annealing.

The cost is the multicast cost. A move takes a core to another position of its core type on its chip, or
swaps two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.cores import HOST
from nmcompiler.ir.kernels import Array
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.mapping.curve import hilbert, snake
from nmcompiler.mapping.nets import Nets
from nmcompiler.mapping.route import Positions
from nmcompiler.target.model import Target

__all__ = ["Board", "Spot", "place", "positions"]

# Temperatures in mean changes of a move. A regular start is worth keeping, so the first refuses most moves
# that make it worse. At the end none that does is kept.
_HOT, _COLD, _FROZEN = 0.5, 0.03, 1e-6
# Share of moves towards a core of the same net, and how far from it (or from its own place) a core may land.
_TOWARDS, _REACH = 0.7, 2
# Starts that are annealed, the best ones, and how often each: runs of the same length end differently.
_STARTS, _RUNS = 2, 4
# Moves of a run, and of each of its cores, below which there are fewer runs instead.
_SHORTEST, _OF_EACH = 5_000, 300
# Moves whose changes are measured before any is made.
_PROBED = 256


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
        row: ``(S,)`` int64.
        column: ``(S,)`` int64 on the common mesh, ``chip · columns + column``.
        chip: ``(S,)`` int64.
        kind: ``(S,)`` int64: type of the core there.
    """

    def __init__(self, target: Target, chips: int) -> None:
        """Lays out so many chips."""
        self.target = target
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

    def spots(self, placed: Array) -> list[Spot]:
        """Returns the position of each core, given their numbers."""
        columns = self.target.mesh.columns
        chip, row, column, kind = (a[placed].tolist() for a in (self.chip, self.row, self.column, self.kind))
        return [Spot(*spot) for spot in zip(chip, row, (c % columns for c in column), kind, strict=True)]

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
    progress: Progress = silent,
) -> list[Spot]:
    """Returns the positions of cores: the multicast cost is at most that of the best regular placement.

    The best few of these are annealed, each with its share of the moves.

    Args:
        board: All positions.
        kinds: Core type of each core, in topological order.
        nets: What travels.
        moves: Number of moves that are tried; without any, cores lie along the Hilbert curve.
        seed: Of the random numbers; equal seeds give equal placements.
        progress: Told between parts of the work.
    """
    if not len(nets.source) or moves == 0:
        return board.spots(next(board.starts(kinds)))
    placements = list(board.starts(kinds))
    tasks = _Tasks(board, nets, len(kinds))
    costs = [tasks.cost(placed) for placed in placements]
    order = np.argsort(costs, kind="stable").tolist()
    best, cost = placements[order[0]], costs[order[0]]
    count = min(_STARTS * _RUNS, max(1, moves // max(_SHORTEST, _OF_EACH * len(kinds))))
    ends = np.linspace(0, moves, count + 1).astype(int).tolist()
    work = [
        (placements[order[k % min(_STARTS, len(order))]], ends[k + 1] - ends[k], seed * count + k)
        for k in range(count)
    ]
    # Runs know nothing of one another, so that as many threads as there are processors change nothing.
    with ThreadPoolExecutor(max(1, min(count, os.cpu_count() or 1))) as pool:
        for k, (placed, after) in enumerate(pool.map(lambda task: tasks.anneal(*task), work)):
            progress("placement", ends[k + 1], moves)
            if after < cost:
                best, cost = placed, after
    return board.spots(best)


class _Tasks:
    """The compiled kernel with a board and nets as it takes them; the host is one core more, which rests."""

    def __init__(self, board: Board, nets: Nets, cores: int) -> None:
        # numba is imported by the first placement, not by commands that place nothing.
        from nmcompiler.mapping import anneal
        from nmcompiler.sim.jit import jit

        self._run = jit(anneal.anneal)
        self._board = board
        self._group = board.chip * (int(board.kind.max(initial=0)) + 1) + board.kind
        source, reached = (np.where(ends == HOST, cores, ends) for ends in (nets.source, nets.cores))
        self._nets = source, nets.start, reached, nets.spikes, *_nets_of(source, reached, nets.degrees, cores)

    def cost(self, placed: Array) -> float:
        """Returns Σ spikes · links in the union of the routes of each net."""
        return self._call(placed.copy(), 0, 0.0, 0.0, 0)[0]

    def anneal(self, placed: Array, moves: int, seed: int) -> tuple[Array, float]:
        """Returns a placement that moves have made of another, and its cost."""
        placed = placed.copy()
        _, change = self._call(placed, _PROBED, 0.0, 0.0, seed * 3)
        if change > 0.0:
            self._call(placed, moves - moves // 8, change * _HOT, change * _COLD, seed * 3 + 1)
            self._call(placed, moves // 8, change * _FROZEN, change * _FROZEN, seed * 3 + 2)
        # Summed anew: what changes add up to drifts.
        return placed, self.cost(placed)

    def _call(self, placed: Array, moves: int, hot: float, cold: float, seed: int) -> tuple[float, float]:
        """Moves the cores of ``placed``; returns their cost and the mean change of the moves tried."""
        board, seed = self._board, seed % 2**63  # the kernel is compiled for one type of it
        at = np.append(board.row[placed], 0), np.append(board.column[placed], 0)
        mesh = board.at, board.row, board.column, self._group
        cost, change = self._run(
            *self._nets, *at, *mesh, placed, 0, 1, moves, hot, cold, _REACH, _TOWARDS, seed
        )
        return float(cost), float(change)


def _nets_of(source: Array, reached: Array, degrees: Array, cores: int) -> tuple[Array, Array]:
    """Returns the nets of each core, as source or as destination, and where those of each begin."""
    net = np.arange(len(source))
    pairs = np.unique(np.concatenate([source * len(net) + net, reached * len(net) + np.repeat(net, degrees)]))
    core, net = np.divmod(pairs, len(net))
    return np.searchsorted(core, np.arange(cores + 1)), net
