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

__all__ = ["Positions", "capacity_bound", "max_link_load", "tree_sizes", "unicast_cost"]


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


def tree_sizes(at: Positions, nets: Nets) -> Array:
    """Returns the number of links in the union of the routes of each net, ``(n,)`` int64."""
    east, west, south, north = _extents(at, nets)
    sizes: Array = east - west + (south - north).sum(axis=1)
    return sizes


def _extents(at: Positions, nets: Nets) -> tuple[Array, Array, Array, Array]:
    """Returns the outermost columns ``(n,)``, and the outermost rows in each column ``(n, columns)``.

    The source's own row and column count as reached.
    """
    row, column = at.sources(nets)
    net = np.repeat(np.arange(len(nets.source)), nets.degrees)
    width = int(at.column.max(initial=0)) + 1
    east, west = column.copy(), column.copy()
    np.maximum.at(east, net, at.column[nets.cores])
    np.minimum.at(west, net, at.column[nets.cores])
    south = np.repeat(row[:, None], width, axis=1)
    north = south.copy()
    where = net * width + at.column[nets.cores]
    np.maximum.at(south.reshape(-1), where, at.row[nets.cores])
    np.minimum.at(north.reshape(-1), where, at.row[nets.cores])
    return east, west, south, north


def unicast_cost(at: Positions, nets: Nets) -> float:
    """Returns Σ spikes × Manhattan distance, each destination counted on its own."""
    row, column = at.sources(nets)
    rows = np.abs(np.repeat(row, nets.degrees) - at.row[nets.cores])
    columns = np.abs(np.repeat(column, nets.degrees) - at.column[nets.cores])
    return float(np.repeat(nets.spikes, nets.degrees) @ (rows + columns))


def max_link_load(at: Positions, nets: Nets) -> float:
    """Returns the expected spikes on the busiest directed link."""
    row, column = at.sources(nets)
    east, west, south, north = _extents(at, nets)
    height, width = int(at.row.max(initial=0)) + 1, south.shape[1]
    columns = np.broadcast_to(np.arange(width), south.shape)
    rows = np.broadcast_to(row[:, None], south.shape)
    spikes = np.broadcast_to(nets.spikes[:, None], south.shape)
    loads = (
        _cover(row, column, east, nets.spikes, (height, width)),
        _cover(row, west, column, nets.spikes, (height, width)),
        _cover(columns, rows, south, spikes, (width, height)),
        _cover(columns, north, rows, spikes, (width, height)),
    )
    return max(float(load.max(initial=0.0)) for load in loads)


def _cover(line: Array, start: Array, end: Array, spikes: Array, shape: tuple[int, int]) -> Array:
    """Returns the load of each link of each line, where intervals ``start … end`` carry spikes."""
    steps = np.zeros((shape[0], shape[1] + 1))
    crossed = start < end  # an empty interval must leave no rounding behind
    np.add.at(steps, (line[crossed], start[crossed]), spikes[crossed])
    np.add.at(steps, (line[crossed], end[crossed]), -spikes[crossed])
    return np.cumsum(steps, axis=1)


def capacity_bound(nets: Nets, cores: int) -> float:
    """Returns a lower bound of the unicast cost of any placement (neighbour capacity).

    On a mesh a core has at most 4 cores at distance 1, 8 at 2, 12 at 3, …: its traffic, the largest first,
    is at best spread in this way; half the sum over the cores counts each pair once. The host stands in a
    corner, where the distances 0, 1, 2, … have 1, 2, 3, … positions.
    """
    between = np.zeros((cores + 1, cores + 1))
    source, target, spikes = nets.pairs()
    np.add.at(between, (source, target), spikes)  # HOST is the last row and the last column
    host, between = between[-1, :-1] + between[:-1, -1], between[:-1, :-1]
    ring = np.arange(1, int(np.sqrt(cores)) + 2)
    distance = np.repeat(ring, 4 * ring)[: max(cores - 1, 0)]
    partners = -np.sort(-(between + between.T), axis=1)[:, : len(distance)]
    corner = np.repeat(np.arange(len(ring) * 2), np.arange(1, len(ring) * 2 + 1))[:cores]
    return float((partners @ distance).sum() / 2 + -np.sort(-host) @ corner)
