"""Simulated annealing of items on the spots of a mesh, compiled: cores, one to a spot.

A spot may have room for several, as where neurons are divided over cores and these placed at once.

The cost is that of multicast: Σ spikes · links in the union of the routes of a net, which go along the row
first. A move takes an item to another spot, or swaps two, and only the nets of these are routed anew.

numba is imported with this module, which therefore the first placement imports.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

__all__ = ["anneal", "tree_size"]

_inner: Any = register_jitable(error_model="numpy", forceinline=True)


@_inner
def _next(state):  # type: ignore[no-untyped-def]
    """Returns the next number of xorshift64 (Marsaglia 2003, Journal of Statistical Software 8(14))."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    return state ^ (state << np.uint64(17))


@_inner
def _below(state, n):  # type: ignore[no-untyped-def]
    """Returns a number from 0 to n − 1 from the upper half of the state."""
    return np.int64(((state >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@_inner
def tree_size(net, mark, source, start, members, row, column, seen, top, bottom):  # type: ignore[no-untyped-def]
    """Returns the links of one net; ``seen`` may hold no ``mark``."""
    first, last = start[net], start[net + 1]
    r0, c0 = row[source[net]], column[source[net]]
    if last - first == 1:
        item = members[first]
        return abs(row[item] - r0) + abs(column[item] - c0)
    east, west, size = c0, c0, np.int64(0)
    for k in range(first, last):
        r, c = row[members[k]], column[members[k]]
        east, west = max(east, c), min(west, c)
        if seen[c] != mark:
            seen[c] = mark
            top[c], bottom[c] = min(r, r0), max(r, r0)
            size += abs(r - r0)
        elif r < top[c]:
            size += top[c] - r
            top[c] = r
        elif r > bottom[c]:
            size += r - bottom[c]
            bottom[c] = r
    return size + east - west


def anneal(  # type: ignore[no-untyped-def]
    source, start, members, spikes, first_net, nets, row, column, at, spot_row, spot_column, group, spot,
    least, most, moves, hot, cold, reach, towards, seed,
):  # fmt: skip
    """Moves items so that they cost less; returns their cost and the mean size of the changes tried.

    Args:
        source: ``(E,)`` int64: the item that each net comes from; one behind all items stands for the host.
        start: ``(E + 1,)`` int64.
        members: int64: the items that net e reaches are ``members[start[e] … start[e + 1] − 1]``.
        spikes: ``(E,)`` float64.
        first_net: ``(n + 1,)`` int64.
        nets: int64: the nets of item i are ``nets[first_net[i] … first_net[i + 1] − 1]``, each once.
        row: ``(n + 1,)`` int64, written: of each item, and of the host.
        column: Likewise.
        at: ``(rows, columns)`` int64: the spot of each position of the mesh, −1 where there is none.
        spot_row: ``(S,)`` int64.
        spot_column: ``(S,)`` int64.
        group: ``(S,)`` int64: items never leave the spots of their group.
        spot: ``(n,)`` int64, written: of each item.
        least: Fewest items of a spot.
        most: Most items of a spot.
        moves: Moves that are tried.
        hot: First temperature, in the unit of the cost; at 0 nothing is moved.
        cold: Last one.
        reach: Rows and columns of the neighbourhood in which a new spot is looked for.
        towards: Share of moves into the neighbourhood of an item of the same net.
        seed: Of the random numbers.
    """
    n, spots = spot.size, spot_row.size
    height, width = at.shape
    held, count, slot = np.full((spots, most), -1), np.zeros(spots, np.int64), np.zeros(n, np.int64)
    for i in range(n):
        slot[i] = count[spot[i]]
        held[spot[i], slot[i]] = i
        count[spot[i]] += 1
    seen, top, bottom = np.full(width, -1), np.zeros(width, np.int64), np.zeros(width, np.int64)
    mark = np.int64(0)
    sizes, cost = np.zeros(spikes.size, np.int64), 0.0
    for e in range(spikes.size):
        mark += 1
        sizes[e] = tree_size(e, mark, source, start, members, row, column, seen, top, bottom)
        cost += spikes[e] * sizes[e]
    touched, found = np.full(spikes.size, -1), np.zeros(spikes.size, np.int64)
    changed = np.zeros(spikes.size, np.int64)
    state = np.uint64(88172645463325252) ^ (np.uint64(seed) * np.uint64(2654435769))
    state = max(state, np.uint64(1))  # 0 would stay 0
    for _ in range(8):
        state = _next(state)
    tried, scale, temperature = 0, 0.0, hot
    factor = (cold / hot) ** (1.0 / moves) if hot > 0.0 and moves > 0 else 1.0
    for move in range(moves):
        temperature *= factor
        state = _next(state)
        a = _below(state, n)
        p, near = spot[a], a
        state = _next(state)
        degree = first_net[a + 1] - first_net[a]
        if degree > 0 and np.float64(state >> np.uint64(11)) < towards * 9007199254740992.0:
            state = _next(state)
            e = nets[first_net[a] + _below(state, degree)]
            state = _next(state)
            k = _below(state, start[e + 1] - start[e] + 1)
            near = source[e] if start[e] + k == start[e + 1] else members[start[e] + k]
        state = _next(state)
        r = row[near] + _below(state, 2 * reach + 1) - reach
        state = _next(state)
        c = column[near] + _below(state, 2 * reach + 1) - reach
        if r < 0 or c < 0 or r >= height or c >= width:
            continue
        q = at[r, c]
        if q < 0 or q == p or group[q] != group[p]:
            continue
        state = _next(state)
        b = -1
        fits = count[q] < most and count[p] > least
        if count[q] > 0 and not (fits and state >> np.uint64(63) != 0):
            state = _next(state)
            b = held[q, _below(state, count[q])]
        elif not fits:
            continue
        row[a], column[a] = r, c
        if b >= 0:
            row[b], column[b] = spot_row[p], spot_column[p]
        change, known = 0.0, 0
        for side in range(2):
            item = a if side == 0 else b
            if item < 0:
                continue
            for k in range(first_net[item], first_net[item + 1]):
                e = nets[k]
                if touched[e] == move:
                    continue
                touched[e] = move
                mark += 1
                size = tree_size(e, mark, source, start, members, row, column, seen, top, bottom)
                if size != sizes[e]:
                    change += spikes[e] * (size - sizes[e])
                    found[known], changed[known] = e, size
                    known += 1
        tried += 1
        scale += abs(change)
        keeps = hot > 0.0 and change <= 0.0
        if hot > 0.0 and not keeps:
            state = _next(state)
            keeps = np.float64(state >> np.uint64(11)) / 9007199254740992.0 < np.exp(-change / temperature)
        if not keeps:
            row[a], column[a] = spot_row[p], spot_column[p]
            if b >= 0:
                row[b], column[b] = r, c
            continue
        cost += change
        for k in range(known):
            sizes[found[k]] = changed[k]
        spot[a] = q
        if b >= 0:
            spot[b] = p
            held[q, slot[b]], held[p, slot[a]] = a, b
            slot[a], slot[b] = slot[b], slot[a]
        else:
            count[p] -= 1
            last = held[p, count[p]]
            held[p, slot[a]], slot[last] = last, slot[a]
            held[q, count[q]], slot[a] = a, count[q]
            count[q] += 1
    return cost, scale / max(tried, 1)
