"""Placement where every net has one destination: what ``place.py`` needs of its kernels, for pairs of cores.

The multicast cost of such nets is Σ spikes · distance. Nothing is kept for a net but its two cores and its
spikes, so that tens of millions of them can be placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.nets import HOST, Nets
from nmcompiler.mapping.trees import Run

if TYPE_CHECKING:
    from nmcompiler.mapping.place import Board

__all__ = ["Pairs", "are_pairs"]

# Temperatures in mean changes of a move, and the share of moves towards a partner, as in ``place.py``.
_HOT, _COLD, _FROZEN = 0.25, 0.03, 1e-6
_TOWARDS = 0.5
# How far from a partner, or from its own place, a core may land: a run of few moves of each core, below the
# second number, does best to mend its start by steps to neighbours.
_REACH, _FEW = 2, 600
# Moves whose changes are measured before any is made.
_PROBED = 256


def are_pairs(nets: Nets) -> bool:
    """Returns whether every net has one destination."""
    return len(nets.cores) == len(nets.source) and bool((np.diff(nets.start) == 1).all())


class Pairs:
    """Compiled kernels with a board and nets as they take them; the host is one core more, which rests."""

    def __init__(self, board: Board, nets: Nets, cores: int) -> None:
        # numba is imported by the first placement, not by commands that place nothing.
        from nmcompiler.mapping import anneal_pairs as kernels
        from nmcompiler.sim.jit import jit

        self._cost, self._costs = jit(kernels.pair_cost), jit(kernels.pair_costs)
        self._run = jit(kernels.anneal_pairs)
        self._board = board
        source, reached = (np.where(ends == HOST, cores, ends) for ends in (nets.source, nets.cores))
        self._pairs = source, reached, nets.spikes
        ends = 2 * len(source)
        self._graph = np.zeros(cores + 2, np.int64), np.empty(ends, np.uint32), np.empty(ends, np.float32)
        jit(kernels.pair_graph)(*self._pairs, *self._graph)

    def cost(self, placed: Array) -> float:
        """Returns Σ spikes · distance."""
        return float(self._cost(*self._pairs, *self._at(placed)))

    def costs(self, placements: Sequence[Array]) -> list[float]:
        """Returns Σ spikes · distance of each placement, to about seven digits."""
        rows = np.zeros((len(self._graph[0]) - 1, len(placements)), np.float32)
        columns = np.zeros_like(rows)
        for k, placed in enumerate(placements):
            rows[:, k], columns[:, k] = self._at(placed)
        costs: list[float] = self._costs(*self._pairs, rows, columns).tolist()
        return costs

    def anneal(self, run: Run) -> tuple[Array, float]:
        """Returns a placement that moves have made of another, and its cost; links have no limits here."""
        placed, moves, seed = run.placed.copy(), run.moves, run.seed
        reach = 1 if moves < _FEW * len(placed) else _REACH
        change = self._move(placed, _PROBED, 0.0, 0.0, reach, seed * 3)
        if change > 0.0:
            self._move(placed, moves - moves // 8, change * _HOT, change * _COLD, reach, seed * 3 + 1)
            self._move(placed, moves // 8, change * _FROZEN, change * _FROZEN, reach, seed * 3 + 2)
        return placed, self.cost(placed)

    def _move(self, placed: Array, moves: int, hot: float, cold: float, reach: int, seed: int) -> float:
        """Moves the cores of ``placed``; returns the mean change of the moves tried."""
        board, seed = self._board, seed % 2**63  # the kernel is compiled for one type of it
        mesh = board.at, board.row, board.column, board.kind
        change: float = self._run(
            *self._graph, *self._at(placed), *mesh, placed, moves, hot, cold, reach, _TOWARDS, seed
        )
        return float(change)

    def _at(self, placed: Array) -> tuple[Array, Array]:
        board = self._board
        row, column = (np.append(a[placed], 0).astype(np.int32) for a in (board.row, board.column))
        return row, column
