"""Routes on the common mesh, and what they cost.

A spike goes from its core first along the row (changing the column), then along the column; the routes
to all destinations of one spike share links, so it crosses the union of them once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.cores import HOST
from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.nets import Nets

__all__ = [
    "Positions",
    "max_link_load",
    "off_chip_spikes",
    "tree_sizes",
    "unicast_cost",
]


@dataclass(frozen=True, eq=False)
class Positions:
    """Where cores stand on the common mesh, and last the host, so that its number finds it as well.

    Attributes:
        row: ``(cores + 1,)`` int64.
        column: ``(cores + 1,)`` int64, ``chip · columns + column``.
    """

    row: Array
    column: Array

    def sources(self, nets: Nets) -> tuple[Array, Array]:
        """Returns row and column of the source of each net; the host stands at (0, 0)."""
        host = nets.source == HOST
        return np.where(host, 0, self.row[nets.source]), np.where(host, 0, self.column[nets.source])


@dataclass(frozen=True, eq=False)
class _Trees:
    """The unions of the routes of all nets; the source's own row and column count as reached.

    Attributes:
        east: ``(n,)`` int64 outermost column of each net.
        west: Likewise.
        net: ``(B,)`` int64: the net of each branch, a column in which it has destinations.
        column: ``(B,)`` int64.
        south: ``(B,)`` int64 outermost row of the branch.
        north: Likewise.
    """

    east: Array
    west: Array
    net: Array
    column: Array
    south: Array
    north: Array


def _trees(at: Positions, nets: Nets) -> _Trees:
    row, column = at.sources(nets)
    net = np.repeat(np.arange(len(nets.source)), nets.degrees)
    width = int(at.column.max(initial=0)) + 1
    east, west = column.copy(), column.copy()
    np.maximum.at(east, net, at.column[nets.cores])
    np.minimum.at(west, net, at.column[nets.cores])
    branches, branch = np.unique(net * width + at.column[nets.cores], return_inverse=True)
    of, columns = np.divmod(branches, width)
    south, north = row[of], row[of]
    np.maximum.at(south, branch.reshape(-1), at.row[nets.cores])
    np.minimum.at(north, branch.reshape(-1), at.row[nets.cores])
    return _Trees(east, west, of, columns, south, north)


def tree_sizes(at: Positions, nets: Nets) -> Array:
    """Returns the number of links in the union of the routes of each net, ``(n,)`` int64."""
    trees = _trees(at, nets)
    sizes: Array = trees.east - trees.west
    np.add.at(sizes, trees.net, trees.south - trees.north)
    return sizes


def off_chip_spikes(at: Positions, nets: Nets, columns: int) -> float:
    """Returns Σ spikes · links to another chip in the union of the routes of each net.

    Chips of ``columns`` columns stand side by side, so that only routes along a row leave one.
    """
    trees = _trees(at, nets)
    return float(nets.spikes @ (trees.east // columns - trees.west // columns))


def unicast_cost(at: Positions, nets: Nets) -> float:
    """Returns Σ spikes × Manhattan distance, each destination counted on its own."""
    row, column = at.sources(nets)
    rows = np.abs(np.repeat(row, nets.degrees) - at.row[nets.cores])
    columns = np.abs(np.repeat(column, nets.degrees) - at.column[nets.cores])
    return float(np.repeat(nets.spikes, nets.degrees) @ (rows + columns))


def max_link_load(at: Positions, nets: Nets) -> float:
    """Returns the expected spikes on the busiest directed link."""
    row, column = at.sources(nets)
    trees = _trees(at, nets)
    height, width = int(at.row.max(initial=0)) + 1, int(at.column.max(initial=0)) + 1
    rows, spikes = row[trees.net], nets.spikes[trees.net]
    loads = (
        _cover(row, column, trees.east, nets.spikes, (height, width)),
        _cover(row, trees.west, column, nets.spikes, (height, width)),
        _cover(trees.column, rows, trees.south, spikes, (width, height)),
        _cover(trees.column, trees.north, rows, spikes, (width, height)),
    )
    return max(float(load.max(initial=0.0)) for load in loads)


def _cover(line: Array, start: Array, end: Array, spikes: Array, shape: tuple[int, int]) -> Array:
    """Returns the load of each link of each line, where intervals ``start … end`` carry spikes."""
    steps = np.zeros((shape[0], shape[1] + 1))
    crossed = start < end  # an empty interval must leave no rounding behind
    np.add.at(steps, (line[crossed], start[crossed]), spikes[crossed])
    np.add.at(steps, (line[crossed], end[crossed]), -spikes[crossed])
    return np.cumsum(steps, axis=1)
