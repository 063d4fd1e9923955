"""Placement: the best of several regular starts, improved by simulated annealing.

The cost is the multicast cost. A move takes a core to another position of its core type on its chip, or
swaps two.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.mapping.curve import hilbert, snake
from nmcompiler.mapping.nets import HOST, Nets
from nmcompiler.mapping.route import Positions, tree_sizes
from nmcompiler.target.model import Target

__all__ = ["Spot", "multicast_cost", "place", "positions", "start", "starts"]

# Temperatures in mean changes of a move. A regular start is worth keeping, so the first refuses most moves
# that make it worse. At the end none that does is kept.
_HOT, _COLD, _FROZEN = 0.5, 0.03, 1e-6
# Share of moves towards a core of the same net, and how far from it (or from its own place) a core may land.
_TOWARDS, _REACH = 0.7, 2
# Starts that are annealed, the best ones, and how often each: runs of the same length end differently.
_STARTS, _RUNS = 2, 4
# Moves of a run below which there are fewer of them instead.
_SHORTEST = 5_000
# Moves whose changes are measured before any is made.
_PROBED = 256


@dataclass(frozen=True)
class Spot:
    """A position of a core: chip, row and column on the chip's mesh, and the core type there."""

    chip: int
    row: int
    column: int
    kind: int


def start(kinds: Sequence[int], target: Target, chips: int) -> list[Spot]:
    """Returns the position of each core along the Hilbert curve: the first of ``starts``."""
    return next(starts(kinds, target, chips))


def starts(kinds: Sequence[int], target: Target, chips: int) -> Iterator[list[Spot]]:
    """Yields regular placements: each core on the next free position of its type along a curve.

    Curves are the Hilbert curve, and strips of so many rows or columns that turn at their ends.

    Args:
        kinds: Core type of each core, in topological order.
        target: The chip.
        chips: Number of chips; together they must have enough cores of each type.
    """
    rows, columns = target.mesh.rows, target.mesh.columns
    curves = [list(hilbert(rows, columns))]
    curves += [list(snake(rows, columns, height)) for height in _heights(rows)]
    curves += [[(r, c) for c, r in snake(columns, rows, width)] for width in _heights(columns)]
    for curve in curves:
        free = _spots(curve, target, chips)
        queues = {kind: iter([s for s in free if s.kind == kind]) for kind in set(kinds)}
        yield [next(queues[kind]) for kind in kinds]


def _heights(rows: int) -> list[int]:
    """Returns the heights of strips worth trying: those that cut all rows into 1, 2, 3, … strips."""
    return sorted({-(-rows // strips) for strips in range(1, rows + 1)})


def _spots(curve: Sequence[tuple[int, int]], target: Target, chips: int) -> list[Spot]:
    """Returns the positions of all cores, chip by chip along the curve."""
    return [
        Spot(chip, row, column, target.core_type(row * target.mesh.columns + column))
        for chip in range(chips)
        for row, column in curve
        if row * target.mesh.columns + column < target.cores_per_chip
    ]


def multicast_cost(placed: Sequence[Spot], nets: Nets, target: Target) -> float:
    """Returns Σ spikes · links in the union of the routes of each net."""
    return float(nets.spikes @ tree_sizes(positions(placed, target), nets))


def positions(placed: Sequence[Spot], target: Target) -> Positions:
    """Returns where cores stand on the common mesh."""
    return Positions(
        np.array([s.row for s in placed], np.int64),
        np.array([s.chip * target.mesh.columns + s.column for s in placed], np.int64),
    )


def place(
    placements: Sequence[Sequence[Spot]],
    nets: Nets,
    target: Target,
    *,
    moves: int,
    seed: int,
    progress: Progress = silent,
) -> list[Spot]:
    """Returns a placement whose multicast cost is at most that of the best of some.

    The best few are annealed, each with its share of the moves.

    Args:
        placements: The positions of all cores, in several ways.
        nets: What travels.
        target: The chip.
        moves: Number of moves that are tried.
        seed: Of the random numbers; equal seeds give equal placements.
        progress: Told between parts of the work.
    """
    costs = [multicast_cost(placed, nets, target) for placed in placements]
    order = np.argsort(costs, kind="stable").tolist()
    best, cost = list(placements[order[0]]), costs[order[0]]
    if not len(nets.source) or moves == 0:
        return best
    count = min(_STARTS * _RUNS, max(1, moves // _SHORTEST))
    runs = [placements[order[k % min(_STARTS, len(order))]] for k in range(count)]
    boards = [_Board(placed, nets, target) for placed in runs]
    ends = np.linspace(0, moves, len(runs) + 1).astype(int).tolist()
    work = [(board, ends[k + 1] - ends[k], seed * len(runs) + k) for k, board in enumerate(boards)]
    # Runs know nothing of one another, so that as many threads as there are processors change nothing.
    with ThreadPoolExecutor(max(1, min(len(runs), os.cpu_count() or 1))) as pool:
        for k, after in enumerate(pool.map(lambda job: _anneal(*job), work)):
            progress("placement", ends[k + 1], moves)
            if after < cost:
                best, cost = boards[k].placed(), after
    return best


def _anneal(board: _Board, moves: int, seed: int) -> float:
    """Moves the cores of a board and returns the cost in which they are left."""
    # numba is imported by the first placement, not by commands that place nothing.
    from nmcompiler.mapping import anneal as kernel
    from nmcompiler.sim.jit import jit

    def run(tried: int, hot: float, cold: float, call: int) -> tuple[float, float]:
        numbers = 0, 1, tried, hot, cold, _REACH, _TOWARDS, seed * 3 + call
        cost, change = jit(kernel.anneal)(*board.nets, *board.state, *numbers)
        return float(cost), float(change)

    cost, scale = run(_PROBED, 0.0, 0.0, 0)
    if scale == 0.0:
        return cost
    run(moves - moves // 8, scale * _HOT, scale * _COLD, 1)
    return run(moves // 8, scale * _FROZEN, scale * _FROZEN, 2)[0]


class _Board:
    """Cores, positions and nets as the kernel takes them; the host is one core more, which never moves."""

    def __init__(self, placed: Sequence[Spot], nets: Nets, target: Target) -> None:
        cores, chips = len(placed), max(spot.chip for spot in placed) + 1
        self._spots = _spots(list(hilbert(target.mesh.rows, target.mesh.columns)), target, chips)
        index = {spot: i for i, spot in enumerate(self._spots)}
        at, everywhere = positions(placed, target), positions(self._spots, target)
        grid = np.full((target.mesh.rows, chips * target.mesh.columns), -1, np.int64)
        grid[everywhere.row, everywhere.column] = np.arange(len(self._spots))
        kinds = max(spot.kind for spot in self._spots) + 1
        group = np.array([spot.chip * kinds + spot.kind for spot in self._spots], np.int64)
        self._spot = np.array([index[spot] for spot in placed], np.int64)
        source = np.where(nets.source == HOST, cores, nets.source)
        self.nets: tuple[Any, ...] = (
            *(source, nets.start, nets.cores, nets.spikes),
            *_nets_of(source, nets, cores),
        )
        self.state: tuple[Any, ...] = (
            *(np.append(at.row, 0), np.append(at.column, 0)),
            *(grid, everywhere.row, everywhere.column, group, self._spot),
        )

    def placed(self) -> list[Spot]:
        """Returns where the cores are now."""
        return [self._spots[i] for i in self._spot.tolist()]


def _nets_of(source: Array, nets: Nets, cores: int) -> tuple[Array, Array]:
    """Returns the nets of each core, as source or as destination, and where those of each begin."""
    net = np.arange(len(source))
    pairs = np.unique(
        np.concatenate([source * len(net) + net, nets.cores * len(net) + np.repeat(net, nets.degrees)])
    )
    core, net = np.divmod(pairs, len(net))
    return np.searchsorted(core, np.arange(cores + 1)), net
