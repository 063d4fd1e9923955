"""Simulated annealing of items on the spots of a mesh, compiled: cores, one to a spot.

A spot may have room for several, as where neurons are divided over cores and these placed at once.

The cost is that of multicast: Σ spikes · links in the union of the routes of a net, which go along the row
first. To it comes, where links have limits, Σ price · (load − limit)² over the links that carry more. A move
takes an item to another spot, or swaps two, and only the nets of these are routed anew.

numba is imported with this module, which therefore the first placement imports.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from nmcompiler.mapping.chance import below, first_state, next_state, share

__all__ = ["anneal"]

_inner: Any = register_jitable(error_model="numpy", forceinline=True)
# Called from several places, and seldom: one copy of the code is compiled faster.
_apart: Any = register_jitable(error_model="numpy")
_EAST, _WEST, _SOUTH, _NORTH = 0, 1, 2, 3


@_inner
def _tree_size(net, nets, places, along, scratch):  # type: ignore[no-untyped-def]
    """Returns the links of one net, those along the row with their weight."""
    source, start, members = nets[0], nets[1], nets[2]
    row, column = places
    first, last = start[net], start[net + 1]
    r0, c0 = row[source[net]], column[source[net]]
    if last - first == 1:
        item = members[first]
        return abs(row[item] - r0) + abs(along[column[item]] - along[c0])
    seen, top, bottom, marks = scratch
    marks[0] += 1
    east, west, size = c0, c0, np.int64(0)
    for k in range(first, last):
        r, c = row[members[k]], column[members[k]]
        east, west = max(east, c), min(west, c)
        if seen[c] != marks[0]:
            seen[c] = marks[0]
            top[c], bottom[c] = min(r, r0), max(r, r0)
            size += abs(r - r0)
        elif r < top[c]:
            size += top[c] - r
            top[c] = r
        elif r > bottom[c]:
            size += r - bottom[c]
            bottom[c] = r
    return size + along[east] - along[west]


@_inner
def _carry(net, spikes, nets, places, links, scratch):  # type: ignore[no-untyped-def]
    """Adds spikes to all links of a net; returns by how much Σ (load − limit)² grows."""
    source, start, members = nets[0], nets[1], nets[2]
    row, column = places
    seen, top, bottom, marks = scratch
    marks[0] += 1
    load, limit = links[2][links[0][net]], links[1][links[0][net]]
    r0, c0 = row[source[net]], column[source[net]]
    east, west, more = c0, c0, 0.0
    for k in range(start[net], start[net + 1]):
        r, c = row[members[k]], column[members[k]]
        if seen[c] != marks[0]:
            seen[c] = marks[0]
            top[c], bottom[c] = r0, r0
        # Links to the east, west, south and north that no member before has asked for, one after another.
        while True:
            if east < c:
                direction, y, x = _EAST, r0, east
                east += 1
            elif west > c:
                direction, y, x = _WEST, r0, west
                west -= 1
            elif bottom[c] < r:
                direction, y, x = _SOUTH, bottom[c], c
                bottom[c] += 1
            elif top[c] > r:
                direction, y, x = _NORTH, top[c], c
                top[c] -= 1
            else:
                break
            before = max(load[direction, y, x] - limit[direction], 0.0)
            load[direction, y, x] += spikes
            after = max(load[direction, y, x] - limit[direction], 0.0)
            more += after * after - before * before
    return more


@_apart
def _carry_all(known, found, sign, nets, places, links, scratch):  # type: ignore[no-untyped-def]
    """Adds the spikes of some nets to their links, or takes them away."""
    more = 0.0
    for k in range(known):
        more += _carry(found[k], sign * nets[3][found[k]], nets, places, links, scratch)
    return more


@_inner
def _touched(a, b, move, nets, touched, found):  # type: ignore[no-untyped-def]
    """Lists the nets of one or two items in ``found``; returns how many there are."""
    first_net, nets_of = nets[4], nets[5]
    known = 0
    for side in range(2):
        item = a if side == 0 else b
        if item < 0:
            continue
        for k in range(first_net[item], first_net[item + 1]):
            if touched[nets_of[k]] != move:
                touched[nets_of[k]] = move
                found[known] = nets_of[k]
                known += 1
    return known


@_inner
def _near(a, state, nets, towards):  # type: ignore[no-untyped-def]
    """Returns an item near which a new spot of ``a`` is looked for: one of its nets, or itself."""
    source, start, members, _, first_net, nets_of = nets
    state = next_state(state)
    degree = first_net[a + 1] - first_net[a]
    if degree == 0 or share(state) >= towards:
        return a, state
    state = next_state(state)
    e = nets_of[first_net[a] + below(state, degree)]
    state = next_state(state)
    k = start[e] + below(state, start[e + 1] - start[e] + 1)
    return (source[e] if k == start[e + 1] else members[k]), state


@_inner
def _held(spot, spots, most):  # type: ignore[no-untyped-def]
    """Returns the items of each spot, how many these are, and the place of each item among them."""
    held, count = np.full((spots, most), -1), np.zeros(spots, np.int64)
    slot = np.zeros(spot.size, np.int64)
    for i in range(spot.size):
        slot[i] = count[spot[i]]
        held[spot[i], slot[i]] = i
        count[spot[i]] += 1
    return held, count, slot


@_inner
def _put(a, b, r, c, other_r, other_c, places):  # type: ignore[no-untyped-def]
    """Writes where item ``a`` is, and, if there is one, item ``b``."""
    row, column = places
    row[a], column[a] = r, c
    if b >= 0:
        row[b], column[b] = other_r, other_c


@_inner
def _exchange(a, b, p, q, spot, held, count, slot):  # type: ignore[no-untyped-def]
    """Takes item ``a`` from spot p to q, and item ``b``, if there is one, from q to p."""
    spot[a] = q
    if b >= 0:
        spot[b] = p
        held[q, slot[b]], held[p, slot[a]] = a, b
        slot[a], slot[b] = slot[b], slot[a]
        return
    count[p] -= 1
    last = held[p, count[p]]
    held[p, slot[a]], slot[last] = last, slot[a]
    held[q, count[q]], slot[a] = a, count[q]
    count[q] += 1


def anneal(  # type: ignore[no-untyped-def]
    nets, places, mesh, links, spot, least, most, moves, hot, cold, price, reach, towards, seed
):
    """Moves items so that they cost less; returns their multicast cost and the mean size of changes tried.

    Args:
        nets: ``(source, start, members, spikes, first_net, nets_of)``. ``source``, ``(E,)`` int64, is the
            item that each net comes from, one behind all items being the host; ``members[start[e] …
            start[e + 1] − 1]`` are the items that net e reaches, all int64; ``spikes``, ``(E,)``, is float64;
            ``nets_of[first_net[i] … first_net[i + 1] − 1]`` are the nets of item i, each once.
        places: ``(row, column)``, each ``(n + 1,)`` int64, written: of each item, and of the host.
        mesh: ``(at, spot_row, spot_column, group, along)``. ``at``, ``(rows, columns)`` int64, is the spot of
            each position, −1 where there is none; then, ``(S,)`` int64 each, where spots are, and their
            group, which items never leave. ``along``, ``(columns,)`` float64, is where each column lies when
            links along the row have weights.
        links: ``(slot, limit, load)``. ``slot``, ``(E,)`` int64, says which of K loads a net adds to;
            ``limit``, ``(K, 4)`` float64, what links to the east, west, south and north may carry, K being 0
            where nobody asks; ``load``, ``(K, 4, rows, columns)`` float64 zeros, is written.
        spot: ``(n,)`` int64, written: of each item.
        least: Fewest items of a spot.
        most: Most items of a spot.
        moves: Moves that are tried.
        hot: First temperature, in the unit of the cost; at 0 nothing is moved.
        cold: Last one.
        price: Cost of (spikes beyond a limit)².
        reach: Rows and columns of the neighbourhood in which a new spot is looked for.
        towards: Share of moves into the neighbourhood of an item of the same net.
        seed: Of the random numbers.
    """
    row, column = places
    at, spot_row, spot_column, group, along = mesh
    spikes, limited = nets[3], links[1].shape[0] > 0
    height, width = at.shape
    held, count, slot = _held(spot, spot_row.size, most)
    scratch = np.full(width, -1), np.zeros(width, np.int64), np.zeros(width, np.int64), np.zeros(1, np.int64)
    sizes, cost, excess = np.zeros(spikes.size), 0.0, 0.0
    for e in range(spikes.size):
        sizes[e] = _tree_size(e, nets, places, along, scratch)
        cost += spikes[e] * sizes[e]
        if limited:
            excess += _carry(e, spikes[e], nets, places, links, scratch)
    touched, found, changed = np.full(spikes.size, -1), np.zeros(spikes.size, np.int64), np.zeros(spikes.size)
    state = first_state(seed)
    tried, scale, temperature = 0, 0.0, hot
    factor = (cold / hot) ** (1.0 / moves) if hot > 0.0 and moves > 0 else 1.0
    for move in range(moves):
        temperature *= factor
        state = next_state(state)
        a = below(state, spot.size)
        near, state = _near(a, state, nets, towards)
        state = next_state(state)
        r = row[near] + below(state, 2 * reach + 1) - reach
        state = next_state(state)
        c = column[near] + below(state, 2 * reach + 1) - reach
        if r < 0 or c < 0 or r >= height or c >= width:
            continue
        p, q = spot[a], at[r, c]
        if q < 0 or q == p or group[q] != group[p]:
            continue
        state = next_state(state)
        b = -1
        fits = count[q] < most and count[p] > least
        if count[q] > 0 and not (fits and state >> np.uint64(63) != 0):
            state = next_state(state)
            b = held[q, below(state, count[q])]
        elif not fits:
            continue
        known, change = _touched(a, b, move, nets, touched, found), 0.0
        _put(a, b, r, c, spot_row[p], spot_column[p], places)
        for k in range(known):
            changed[k] = _tree_size(found[k], nets, places, along, scratch)
            change += spikes[found[k]] * (changed[k] - sizes[found[k]])
        tried += 1
        worse = 0.0  # what a move that is kept may cost more at most
        if change > 0.0 or limited:
            state = next_state(state)
            worse = -np.log(1.0 - share(state)) * temperature
        keeps = hot > 0.0 and change - price * excess <= worse
        if (
            limited and keeps
        ):  # else not even links that all carry less than their limits would make it worth it
            _put(a, b, spot_row[p], spot_column[p], r, c, places)
            more = _carry_all(known, found, -1.0, nets, places, links, scratch)
            _put(a, b, r, c, spot_row[p], spot_column[p], places)
            more += _carry_all(known, found, 1.0, nets, places, links, scratch)
            change += price * more
            keeps = change <= worse
            if keeps:
                excess = max(excess + more, 0.0)
            else:
                _carry_all(known, found, -1.0, nets, places, links, scratch)
                _put(a, b, spot_row[p], spot_column[p], r, c, places)
                _carry_all(known, found, 1.0, nets, places, links, scratch)
        scale += abs(change)
        if keeps:
            for k in range(known):
                cost += spikes[found[k]] * (changed[k] - sizes[found[k]])
                sizes[found[k]] = changed[k]
            _exchange(a, b, p, q, spot, held, count, slot)
            continue
        _put(a, b, spot_row[p], spot_column[p], r, c, places)
    return cost, scale / max(tried, 1)
