"""Placement where spikes go to several cores at once: the kernel of ``anneal.py`` with its settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nmcompiler.ir.distinct import distinct
from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.nets import HOST, Nets

if TYPE_CHECKING:
    from nmcompiler.mapping.place import Board

__all__ = ["Limits", "Run", "Trees"]

# Temperatures in mean changes of a move. A regular start is worth keeping, so the first refuses most moves
# that make it worse. At the end none that does is kept. Where links have limits the cost is low already.
_HOT, _COLD, _FROZEN, _WARM = 0.7, 0.03, 1e-6, 0.3
# Share of moves towards a core of the same net, and how far from it (or from its own place) a core may land.
_TOWARDS, _REACH = 0.9, 1
# Moves whose changes are measured before any is made.
_PROBED = 256


@dataclass(frozen=True, eq=False)
class Limits:
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
class Run:
    """One run of the annealing: where it starts, its moves and seed, and the limits of links."""

    placed: Array
    moves: int
    seed: int
    limits: Limits | None = None


class Trees:
    """The compiled kernel with a board and nets as it takes them; the host is one core more, which rests."""

    def __init__(self, board: Board, nets: Nets, cores: int) -> None:
        # numba is imported by the first placement, not by commands that place nothing.
        from nmcompiler.mapping import anneal
        from nmcompiler.sim.jit import jit

        self._run = jit(anneal.anneal)
        self._board = board
        source, reached = (np.where(ends == HOST, cores, ends) for ends in (nets.source, nets.cores))
        self._nets = source, nets.start, reached, nets.spikes, *_nets_of(source, reached, nets.degrees, cores)
        self._mesh = board.at, board.row, board.column, board.kind, board.along

    def cost(self, placed: Array) -> float:
        """Returns Σ spikes · links in the union of the routes of each net."""
        return self._call(placed.copy(), 0, 0.0, 0.0, 0)[0]

    def costs(self, placements: Sequence[Array]) -> list[float]:
        """Returns the cost of each placement."""
        return [self.cost(placed) for placed in placements]

    def loads(self, placed: Array, slot: Array, slots: int) -> Array:
        """Returns the spikes on each link, ``(slots, 4, rows, columns)`` float64."""
        load = np.zeros((slots, 4, *self._board.at.shape))
        self._call(placed.copy(), 0, 0.0, 0.0, 0, (slot, np.full((slots, 4), np.inf), load))
        return load

    def anneal(self, run: Run) -> tuple[Array, float]:
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

    def _links(self, limits: Limits | None) -> tuple[tuple[Array, Array, Array], float, float]:
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


def _nets_of(source: Array, reached: Array, degrees: Array, cores: int) -> tuple[Array, Array]:
    """Returns the nets of each core, as source or as destination, and where those of each begin."""
    net = np.arange(len(source))
    pairs = distinct(np.concatenate([source * len(net) + net, reached * len(net) + np.repeat(net, degrees)]))
    core, net = np.divmod(pairs, len(net))
    return np.searchsorted(core, np.arange(cores + 1)), net
