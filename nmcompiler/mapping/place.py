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
from nmcompiler.mapping.nets import HOST, Nets
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
# Where links decide, they may carry these shares of what the busiest carries, a run for each; and the share
# of the temperatures, for by then the cost is low.
_SHARES, _WARM = (0.8, 0.7, 0.6, 0.5), 0.3
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
        at: ``(rows, columns)`` int64: number of each position, −1 where there is none.
        along: ``(columns,)`` float64: where each column lies, in links of a chip, where a link to the next
            chip is as long as ``target.mesh.off_chip_hops`` of these.
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
        column = np.arange(chips * columns, dtype=np.float64)
        self.along = column + (target.mesh.off_chip_hops - 1) * (column // columns)

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
    """Returns where cores stand on the common mesh."""
    return Positions(
        np.array([s.row for s in placed], np.int64),
        np.array([s.chip * target.mesh.columns + s.column for s in placed], np.int64),
    )


def place(
    board: Board,
    kinds: Sequence[int],
    nets: Nets,
    *,
    moves: int,
    seed: int,
    times: LinkTimes | None = None,
    progress: Progress = silent,
) -> list[Spot]:
    """Returns the positions of cores: the cost is at most that of the best regular placement.

    The cost is that of multicast, a link to another chip being as long as the target says. The best few of
    these are annealed, each with its share of the moves. Where links then decide how long a sample takes, as
    many moves again are spent on the busiest of them, as far as ``times`` allows these to cost more.

    Args:
        board: All positions.
        kinds: Core type of each core, in topological order.
        nets: What travels.
        moves: Number of moves that are tried; without any, cores lie along the Hilbert curve.
        seed: Of the random numbers; equal seeds give equal placements.
        times: How long links take; None where only the multicast cost counts.
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
        _Run(placements[order[k % min(_STARTS, len(order))]], ends[k + 1] - ends[k], seed * count + k)
        for k in range(count)
    ]
    for k, (placed, after) in enumerate(tasks.anneal_all(work)):
        progress("placement", ends[k + 1], moves)
        if after < cost:
            best, cost = placed, after
    if times is not None:
        best = _relieved(tasks, best, cost, times, moves, seed)
    return board.spots(best)


def _relieved(tasks: _Tasks, best: Array, cost: float, times: LinkTimes, moves: int, seed: int) -> Array:
    """Returns a placement whose busiest links let a sample be shorter, or the same one."""
    slots = len(times.core_ns)
    loads = tasks.loads(best, times.slot, slots)
    total, most = times.total(loads), cost * (1 + times.worth)
    if total <= times.core_ns.sum():
        return best
    busiest = times.busiest(loads)
    work = []
    for k, share in enumerate(_SHARES):
        limits = _Limits(
            times.slot, times.limit(np.maximum(times.core_ns, share * busiest)), times.price(busiest)
        )
        work.append(_Run(best, moves // len(_SHARES), seed * len(_SHARES) + k, limits))
    for placed, after in tasks.anneal_all(work):
        found = times.total(tasks.loads(placed, times.slot, slots))
        if after <= most and (found, after) < (total, cost):
            best, total, cost = placed, found, after
    return best


@dataclass(frozen=True, eq=False)
class _Limits:
    """What links may carry, and the price of more.

    Attributes:
        slot: ``(E,)`` int64: which limits hold for each net.
        limit: ``(K, 4)`` float64 spikes on a link to the east, west, south and north.
        price: Cost of (spikes beyond a limit)².
    """

    slot: Array
    limit: Array
    price: float


@dataclass(frozen=True, eq=False)
class _Run:
    """One run of the annealing: where it starts, its moves and seed, and the limits of links."""

    placed: Array
    moves: int
    seed: int
    limits: _Limits | None = None


class _Tasks:
    """The compiled kernel with a board and nets as it takes them; the host is one core more, which rests."""

    def __init__(self, board: Board, nets: Nets, cores: int) -> None:
        # numba is imported by the first placement, not by commands that place nothing.
        from nmcompiler.mapping import anneal
        from nmcompiler.sim.jit import jit

        self._run = jit(anneal.anneal)
        self._board = board
        source = np.where(nets.source == HOST, cores, nets.source)
        self._nets = source, nets.start, nets.cores, nets.spikes, *_nets_of(source, nets, cores)
        self._mesh = board.at, board.row, board.column, board.kind, board.along

    def cost(self, placed: Array) -> float:
        """Returns Σ spikes · links in the union of the routes of each net."""
        return self._call(placed.copy(), 0, 0.0, 0.0, 0)[0]

    def loads(self, placed: Array, slot: Array, slots: int) -> Array:
        """Returns the spikes on each link, ``(slots, 4, rows, columns)`` float64."""
        load = np.zeros((slots, 4, *self._board.at.shape))
        self._call(placed.copy(), 0, 0.0, 0.0, 0, (slot, np.full((slots, 4), np.inf), load))
        return load

    def anneal_all(self, work: Sequence[_Run]) -> Iterator[tuple[Array, float]]:
        """Yields what each run ends with.

        Runs know nothing of one another, so that as many threads as there are processors change nothing.
        """
        with ThreadPoolExecutor(max(1, min(len(work), os.cpu_count() or 1))) as pool:
            yield from pool.map(self.anneal, work)

    def anneal(self, run: _Run) -> tuple[Array, float]:
        """Returns a placement that moves have made of another, and its cost."""
        placed, moves, seed = run.placed.copy(), run.moves, run.seed
        links, price, warmth = self._links(run.limits)
        _, change = self._call(placed, _PROBED, 0.0, 0.0, seed * 3, self._links(None)[0])
        if change > 0.0:
            hot, cold = change * _HOT * warmth, change * _COLD * warmth
            self._call(placed, moves - moves // 8, hot, cold, seed * 3 + 1, links, price)
            links = self._links(run.limits)[0]  # loads begin with what the first part has left
            frozen = change * _FROZEN
            self._call(placed, moves // 8, frozen, frozen, seed * 3 + 2, links, price)
        # Summed anew: what changes add up to drifts.
        return placed, self.cost(placed)

    def _links(self, limits: _Limits | None) -> tuple[tuple[Array, Array, Array], float, float]:
        """Returns limits as the kernel takes them, the price, and a factor of the temperature."""
        if limits is None:
            return (self._nets[0], np.zeros((0, 4)), np.zeros((0, 4, 1, 1))), 0.0, 1.0
        load = np.zeros((len(limits.limit), 4, *self._board.at.shape))
        return (limits.slot, limits.limit, load), limits.price, _WARM

    def _call(
        self,
        placed: Array,
        moves: int,
        hot: float,
        cold: float,
        seed: int,
        links: tuple[Array, Array, Array] | None = None,
        price: float = 0.0,
    ) -> tuple[float, float]:
        """Moves the cores of ``placed``; returns their cost and the mean change of the moves tried."""
        board, seed = self._board, seed % 2**63  # the kernel is compiled for one type of it
        places = np.append(board.row[placed], 0), np.append(board.column[placed], 0)
        links = links or self._links(None)[0]
        how = moves, hot, cold, price, _REACH, _TOWARDS, seed
        cost, change = self._run(self._nets, places, self._mesh, links, placed, 0, 1, *how)
        return float(cost), float(change)


def _nets_of(source: Array, nets: Nets, cores: int) -> tuple[Array, Array]:
    """Returns the nets of each core, as source or as destination, and where those of each begin."""
    net = np.arange(len(source))
    pairs = np.unique(
        np.concatenate([source * len(net) + net, nets.cores * len(net) + np.repeat(net, nets.degrees)])
    )
    core, net = np.divmod(pairs, len(net))
    return np.searchsorted(core, np.arange(cores + 1)), net
