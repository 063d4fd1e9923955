"""Placement: cores start along a space-filling curve and are improved by simulated annealing.

The cost is the multicast cost. A move swaps the cores of two positions of equal core type on one chip
(one of them may be empty), and only the nets of these two are routed anew.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.ir.progress import Progress, silent
from nmcompiler.mapping.curve import hilbert
from nmcompiler.mapping.nets import HOST, Nets
from nmcompiler.target.model import Target

__all__ = ["Spot", "anneal", "start"]

# Temperatures relative to the mean change of a random swap. A good start is worth keeping, so the first
# is low: most swaps that make it worse are refused from the beginning.
_HOT, _COLD = 0.3, 0.01
# Share of moves towards a core of the same net, and how far from it (or from its own place) a core may land.
_TOWARDS, _REACH = 0.7, 2


@dataclass(frozen=True)
class Spot:
    """A position of a core: chip, row and column on the chip's mesh, and the core type there."""

    chip: int
    row: int
    column: int
    kind: int


def spots(target: Target, chips: int) -> list[Spot]:
    """Returns the positions of all cores, chip by chip along the curve."""
    return [
        Spot(chip, row, column, target.core_type(row * target.mesh.columns + column))
        for chip in range(chips)
        for row, column in hilbert(target.mesh.rows, target.mesh.columns)
        if row * target.mesh.columns + column < target.cores_per_chip
    ]


def start(kinds: Sequence[int], target: Target, chips: int) -> list[Spot]:
    """Returns the position of each core: the next free one of its type along the curve.

    Args:
        kinds: Core type of each core, in topological order.
        target: The chip.
        chips: Number of chips; together they must have enough cores of each type.
    """
    free = spots(target, chips)
    queues = {kind: iter([s for s in free if s.kind == kind]) for kind in set(kinds)}
    return [next(queues[kind]) for kind in kinds]


def anneal(
    placed: Sequence[Spot],
    nets: Nets,
    target: Target,
    *,
    moves: int,
    seed: int,
    progress: Progress = silent,
) -> list[Spot]:
    """Returns a placement with a multicast cost that is at most that of ``placed``.

    Args:
        placed: The position of each core.
        nets: What travels.
        target: The chip.
        moves: Number of swaps that are tried.
        seed: Of the random numbers; equal seeds give equal placements.
        progress: Told every 256 moves.
    """
    if not len(nets.source) or moves == 0:
        return list(placed)
    board = _Board(placed, nets, target)
    if not board.movable:
        return list(placed)
    rng = random.Random(seed)
    scale = board.mean_change(rng)
    if scale == 0.0:
        return list(placed)
    cooling = (_COLD / _HOT) ** (1 / max(moves, 1))
    temperature = _HOT * scale
    cost, best = 0.0, 0.0
    kept = board.occupant.copy()
    for move in range(moves):
        if move % 256 == 0:
            progress("placement", move, moves)
        swapped = board.propose(rng)
        change = board.swap(*swapped)
        if change <= 0 or rng.random() < math.exp(-change / temperature):
            cost += change
            if cost < best - 1e-9 * scale:
                best, kept = cost, board.occupant.copy()
        else:
            board.undo(*swapped)
        temperature *= cooling
    progress("placement", moves, moves)
    return board.spots_of(kept)


class _Board:
    """Spots, who sits on them, and the cost of every net; changes one swap at a time."""

    def __init__(self, placed: Sequence[Spot], nets: Nets, target: Target) -> None:
        chips = max(spot.chip for spot in placed) + 1
        self.spots = spots(target, chips)
        index = {spot: i for i, spot in enumerate(self.spots)}
        self.column_of = [spot.chip * target.mesh.columns + spot.column for spot in self.spots]
        self.at = {(s.row, c): i for i, (s, c) in enumerate(zip(self.spots, self.column_of, strict=True))}
        self.width = chips * target.mesh.columns
        self.occupant = np.full(len(self.spots), -1, np.int64)
        self.spot = np.array([index[spot] for spot in placed], np.int64)
        self.occupant[self.spot] = np.arange(len(placed))
        self.groups: dict[tuple[int, int], list[int]] = {}
        for i in range(len(self.spots)):
            self.groups.setdefault(self._group(i), []).append(i)
        self.movable = [c for c, i in enumerate(self.spot) if len(self.groups[self._group(int(i))]) > 1]
        # One place more for the host, which never moves.
        self.row = np.array([*(self.spots[i].row for i in self.spot), 0], np.int64)
        self.column = np.array([*(self.column_of[i] for i in self.spot), 0], np.int64)
        self.spikes = nets.spikes
        self.members = _members(nets, host=len(placed))
        self.nets_of = _nets_of(self.members, len(placed) + 1)
        self.sizes = self._tree_sizes(np.arange(len(nets.source)))
        self._before: tuple[Array, Array] = (np.zeros(0, np.int64), np.zeros(0, np.int64))

    def propose(self, rng: random.Random) -> tuple[int, int]:
        """Returns two different spots, the first of a core, the second mostly near a core it talks to."""
        core = self.movable[rng.randrange(len(self.movable))]
        a = int(self.spot[core])
        near = core
        if len(self.nets_of[core]) and rng.random() < _TOWARDS:
            net = self.members[self.nets_of[core][rng.randrange(len(self.nets_of[core]))]]
            near = int(net[rng.randrange(len(net))])
        row = int(self.row[near]) + rng.randint(-_REACH, _REACH)
        column = int(self.column[near]) + rng.randint(-_REACH, _REACH)
        b = self.at.get((row, column), a)
        equals = self.groups[self._group(a)]
        while a == b or self._group(a) != self._group(b):
            b = equals[rng.randrange(len(equals))]
        return a, b

    def _group(self, spot: int) -> tuple[int, int]:
        return self.spots[spot].chip, self.spots[spot].kind

    def swap(self, a: int, b: int) -> float:
        """Swaps what sits on two spots and returns the change of the cost."""
        cores = [int(c) for c in self.occupant[[a, b]] if c >= 0]
        nets = self.nets_of[cores[0]] if len(cores) == 1 else np.union1d(*(self.nets_of[c] for c in cores))
        self._before = nets, self.sizes[nets]
        self._exchange(a, b)
        self.sizes[nets] = self._tree_sizes(nets)
        return float(self.spikes[nets] @ (self.sizes[nets] - self._before[1]))

    def undo(self, a: int, b: int) -> None:
        """Takes the last swap back."""
        self._exchange(a, b)
        nets, sizes = self._before
        self.sizes[nets] = sizes

    def mean_change(self, rng: random.Random, samples: int = 32) -> float:
        """Returns the mean absolute change of the cost over some swaps, none of which is kept."""
        total = 0.0
        for _ in range(samples):
            swapped = self.propose(rng)
            total += abs(self.swap(*swapped))
            self.undo(*swapped)
        return total / samples

    def spots_of(self, occupant: Array) -> list[Spot]:
        """Returns the spot of each core where ``occupant`` sits on the spots."""
        where = {int(core): i for i, core in enumerate(occupant) if core >= 0}
        return [self.spots[where[core]] for core in range(len(where))]

    def _exchange(self, a: int, b: int) -> None:
        self.occupant[[a, b]] = self.occupant[[b, a]]
        for spot in (a, b):
            core = self.occupant[spot]
            if core >= 0:
                self.spot[core] = spot
                self.row[core], self.column[core] = self.spots[spot].row, self.column_of[spot]

    def _tree_sizes(self, nets: Array) -> Array:
        """Returns the links of some nets; see ``route.tree_sizes``, of which this is the padded form."""
        members = self.members[nets]
        rows, columns = self.row[members], self.column[members]
        south = np.repeat(rows[:, :1], self.width, axis=1)
        north = south.copy()
        where = (columns + np.arange(len(nets))[:, None] * self.width).reshape(-1)
        np.maximum.at(south.reshape(-1), where, rows.reshape(-1))
        np.minimum.at(north.reshape(-1), where, rows.reshape(-1))
        sizes: Array = columns.max(axis=1) - columns.min(axis=1) + (south - north).sum(axis=1)
        return sizes


def _members(nets: Nets, host: int) -> Array:
    """Returns ``(n, 1 + largest degree)``: each net's source, its destinations, and its source again."""
    members = np.repeat(
        np.where(nets.source == HOST, host, nets.source)[:, None], 1 + nets.degrees.max(), axis=1
    )
    net = np.repeat(np.arange(len(nets.source)), nets.degrees)
    members[net, 1 + np.arange(len(nets.cores)) - nets.start[net]] = nets.cores
    return members


def _nets_of(members: Array, cores: int) -> list[Array]:
    """Returns the nets of which each core is a member."""
    pairs = np.unique(members * len(members) + np.arange(len(members))[:, None])
    core, net = np.divmod(pairs, len(members))
    return np.split(net, np.searchsorted(core, np.arange(1, cores)))
