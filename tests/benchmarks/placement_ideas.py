"""Two ways to place better what annealing has placed, and what they are worth.

Clusters that reach none of one another can change places among themselves without changing what others cost,
so that where each goes best is an assignment problem, which SciPy solves exactly.

- *layers*: the clusters of each layer, in turn, four times.
- *independent sets*: clusters near a random position, as many as reach none of those chosen before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.nets import Nets
from nmcompiler.mapping.route import Positions

__all__ = ["Neighbours", "assigned", "by_independent_sets", "by_layers"]

_ROUNDS, _SETS, _MOST = 4, 30, 400
_NEAR = 3  # a set lies within a third of the side of its middle


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Clusters that reach i, or that it reaches: ``cluster[start[i] : start[i + 1]]``, with weights."""

    start: Array
    cluster: Array
    weight: Array

    @classmethod
    def of(cls, nets: Nets, n: int) -> Neighbours:
        """Returns those of some nets."""
        source = np.repeat(nets.source, nets.degrees)
        weight = np.repeat(nets.spikes, nets.degrees)
        one, other = np.concatenate([source, nets.cores]), np.concatenate([nets.cores, source])
        order = np.argsort(one, kind="stable")
        start = np.searchsorted(one[order], np.arange(n + 1))
        return cls(start, other[order], np.concatenate([weight, weight])[order])

    def of_one(self, i: int) -> tuple[Array, Array]:
        """Returns the neighbours of a cluster, and their weights."""
        some = slice(self.start[i], self.start[i + 1])
        return self.cluster[some], self.weight[some]


def assigned(at: Positions, near: Neighbours, chosen: Array) -> Positions:
    """Returns positions in which the chosen clusters, none a neighbour of another, are placed best."""
    row, column = at.row[chosen], at.column[chosen]
    cost = np.zeros((len(chosen), len(chosen)))
    for k, i in enumerate(chosen.tolist()):
        others, weight = near.of_one(i)
        down = np.abs(at.row[others][:, None] - row)
        cost[k] = weight @ (down + np.abs(at.column[others][:, None] - column))
    _, spot = linear_sum_assignment(cost)
    rows, columns = at.row.copy(), at.column.copy()
    rows[chosen], columns[chosen] = row[spot], column[spot]
    return Positions(rows, columns)


def by_layers(at: Positions, near: Neighbours, side: int) -> Positions:
    """Returns positions after the clusters of every layer were placed anew, a few times."""
    for layer in _ROUNDS * list(range(side)):
        at = assigned(at, near, np.arange(layer * side, (layer + 1) * side))
    return at


def by_independent_sets(at: Positions, near: Neighbours, side: int, seed: int) -> Positions:
    """Returns positions after clusters of some sets drawn at random were placed anew."""
    draw = np.random.default_rng(seed)
    for _ in range(_SETS):
        at = assigned(at, near, np.array(list(_independent(at, near, side, draw))))
    return at


def _independent(at: Positions, near: Neighbours, side: int, draw: np.random.Generator) -> Iterator[int]:
    """Yields clusters near some position, none a neighbour of another."""
    middle, taken = draw.integers(0, side, 2), np.zeros(side * side, bool)
    count = 0
    for i in draw.permutation(side * side).tolist():
        away = max(abs(at.row[i] - middle[0]), abs(at.column[i] - middle[1]))
        if away <= side // _NEAR and not taken[i] and count < _MOST:
            taken[near.of_one(i)[0]] = True
            count += 1
            yield i
