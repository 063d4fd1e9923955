"""What any placement of a partition costs at least, whatever it may be.

All three bounds follow from the few positions near one: on a mesh a core has at most 4 cores at distance 1, 8
at 2, 12 at 3, …, fewer near a side, and 4 links.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nmcompiler.ir.kernels import Array
from nmcompiler.mapping.nets import HOST, Nets

__all__ = ["PlacementBounds", "placement_bounds"]


@dataclass(frozen=True)
class PlacementBounds:
    """Lower bounds.

    Attributes:
        cost: Of the multicast cost, Σ spikes · links in the union of the routes of a net.
        unicast_cost: Of Σ spikes · distance, each destination on its own.
        max_link_load: Of the spikes on the busiest link.
    """

    cost: float
    unicast_cost: float
    max_link_load: float


def placement_bounds(nets: Nets, cores: int, rows: int, columns: int) -> PlacementBounds:
    """Returns the bounds for nets between cores on a mesh, all chips together.

    - Unicast: the traffic of each core, the largest first, is at best spread over the positions by distance;
      half the sum over the cores counts each pair once. The host stands in a corner of its own.
    - Multicast: a net with one destination crosses as many links as unicast. One with more crosses at least
      one into each of them; one fewer where the host sends or keeps, for a core may stand where it does.
    - Busiest link: whatever is sent or received by a core passes the links beside it; all links together
      carry the multicast cost; and a net is not divided.
    """
    single = nets.degrees == 1
    hosted = np.zeros(len(nets.source), np.int64)
    np.add.at(hosted, np.repeat(np.arange(len(hosted)), nets.degrees)[nets.cores == HOST], 1)
    many = nets.degrees - (nets.source == HOST) - hosted
    cost = float(nets.spikes[~single] @ many[~single])
    each = np.repeat(single, nets.degrees)
    source, target, spikes = nets.pairs()
    cost += _spread(source[each], target[each], spikes[each], cores, rows, columns)
    return PlacementBounds(
        cost=cost,
        unicast_cost=_spread(source, target, spikes, cores, rows, columns),
        max_link_load=_busiest(nets, cost, cores, rows, columns),
    )


def _spread(source: Array, target: Array, spikes: Array, cores: int, rows: int, columns: int) -> float:
    """Returns the least Σ spikes · distance of pairs, each core for itself, half of it for each of a pair."""
    host = (source == HOST) | (target == HOST)
    core, partner, traffic = source[~host], target[~host], spikes[~host]
    around = _sorted(
        np.concatenate([core, partner]),
        np.concatenate([partner, core]),
        np.concatenate([traffic, traffic]),
        cores,
    )
    other = np.maximum(source, target)[host]  # the host has the smaller number
    corner = _sorted(other * 0, other, spikes[host], cores)
    return _nearest(*around, _distances(rows, columns)[1:]) / 2 + _nearest(*corner, _corner(rows, columns))


def _sorted(core: Array, partner: Array, spikes: Array, cores: int) -> tuple[Array, Array]:
    """Returns the traffic of each core with each partner, the largest first, and its rank among these."""
    pair, where = np.unique(core * cores + partner, return_inverse=True)
    total = np.bincount(where.reshape(-1), weights=spikes, minlength=len(pair))
    core = pair // cores
    order = np.lexsort((-total, core))
    return total[order], np.arange(len(pair)) - np.searchsorted(core, core)


def _nearest(traffic: Array, rank: Array, distances: Array) -> float:
    """Returns Σ traffic · distance where the partner of rank k lies at the k-th distance."""
    return float(traffic @ distances[rank]) if len(rank) else 0.0


def _distances(rows: int, columns: int) -> Array:
    """Returns the distances of all positions from the middle of a mesh, ascending.

    No position has more others within any distance: fewer rows, and likewise fewer columns, lie within a
    distance of one that is nearer to a side.
    """
    down, across = (np.abs(np.arange(n) - n // 2) for n in (rows, columns))
    return np.sort((down[:, None] + across).reshape(-1))


def _corner(rows: int, columns: int) -> Array:
    """Returns the distances of all positions from a corner, ascending."""
    return np.sort((np.arange(rows)[:, None] + np.arange(columns)).reshape(-1))


def _busiest(nets: Nets, cost: float, cores: int, rows: int, columns: int) -> float:
    ports = 2 * (rows > 1) + 2 * (columns > 1)
    if not ports:
        return 0.0
    source, target, spikes = nets.pairs()
    fed, kept = source == HOST, target == HOST
    single = np.repeat(nets.degrees == 1, nets.degrees)
    # One core may stand where the host does: what it alone gets from there, or sends there, crosses no link.
    sent = _by_core(nets.source, nets.spikes, (nets.source != HOST) & ~_only_kept(nets), cores)
    received = _by_core(target, spikes, ~fed & ~kept, cores)
    second = np.sort(received + _by_core(target, spikes, fed, cores))[-2] if cores > 1 else 0.0
    host = nets.source == HOST
    entering = float(nets.spikes[host].sum()) - _by_core(target, spikes, fed & single, cores).max(initial=0.0)
    leaving = float(spikes[kept].sum()) - _by_core(source, spikes, kept, cores).max(initial=0.0)
    crossing = (nets.degrees > 1) | ~(host | _only_kept(nets))
    links = 2 * (rows * (columns - 1) + columns * (rows - 1))
    return max(
        float(max(sent.max(initial=0.0), received.max(initial=0.0), second)) / ports,
        float(max(entering, leaving)) / ((rows > 1) + (columns > 1)),
        float(nets.spikes[crossing].max(initial=0.0)),
        cost / links,
    )


def _by_core(core: Array, spikes: Array, chosen: Array, cores: int) -> Array:
    """Returns the spikes of each core, of those chosen."""
    return np.bincount(core[chosen], weights=spikes[chosen], minlength=cores)


def _only_kept(nets: Nets) -> Array:
    """Returns which nets reach nothing but the host."""
    first = nets.cores[nets.start[:-1]] if len(nets.cores) else nets.source
    only: Array = (nets.degrees == 1) & (first == HOST)
    return only
