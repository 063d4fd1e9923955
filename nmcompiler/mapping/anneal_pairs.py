"""Simulated annealing where every spike has one destination, compiled: the cost is a sum over pairs of cores.

Of a core only the weights of its partners are needed, so that a move is many times cheaper than one of
``anneal.py``, and tens of millions of pairs fit. The cost is Σ weight · Manhattan distance.

numba is imported with this module, which therefore the first placement imports.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from nmcompiler.mapping.chance import below, first_state, next_state

__all__ = ["anneal_pairs", "pair_cost", "pair_costs", "pair_graph"]

_inner: Any = register_jitable(error_model="numpy", forceinline=True)


def pair_graph(source, target, weight, first, partner, amount):  # type: ignore[no-untyped-def]
    """Writes each pair to both of its items, by counting.

    Args:
        source: ``(E,)`` int64.
        target: ``(E,)`` int64.
        weight: ``(E,)`` float64.
        first: ``(n + 1,)`` int64, zeros, written: item i has the partners ``first[i] … first[i + 1] − 1``.
        partner: ``(2 E,)`` uint32, written.
        amount: ``(2 E,)`` float32, written: their weights.
    """
    n = first.size - 1
    for e in range(source.size):
        first[source[e]] += 1
        first[target[e]] += 1
    total = 0
    for i in range(n):
        total += first[i]
        first[i] = total
    first[n] = total
    for e in range(source.size - 1, -1, -1):
        a, b = source[e], target[e]
        first[a] -= 1
        partner[first[a]], amount[first[a]] = b, weight[e]
        first[b] -= 1
        partner[first[b]], amount[first[b]] = a, weight[e]


def pair_cost(source, target, weight, row, column):  # type: ignore[no-untyped-def]
    """Returns Σ weight · distance; arrays as for ``pair_graph``, and ``(n,)`` int32 positions."""
    cost = 0.0
    for e in range(source.size):
        a, b = source[e], target[e]
        cost += weight[e] * (abs(row[a] - row[b]) + abs(column[a] - column[b]))
    return cost


def pair_costs(source, target, weight, row, column):  # type: ignore[no-untyped-def]
    """Returns the costs of S placements, ``(S,)`` float64, to about seven digits.

    All placements of a pair lie side by side, so that the sums of one are those of others in vector code.

    Args:
        source: ``(E,)`` int64.
        target: ``(E,)`` int64.
        weight: ``(E,)`` float64.
        row: ``(n, S)`` float32.
        column: Likewise.
    """
    count = row.shape[1]
    some, total = np.zeros(count, np.float32), np.zeros(count)
    for e in range(source.size):
        w, a, b = np.float32(weight[e]), source[e], target[e]
        for s in range(count):
            some[s] += w * (abs(row[a, s] - row[b, s]) + abs(column[a, s] - column[b, s]))
        if e % 256 == 255 or e + 1 == source.size:  # short sums in few digits, long ones in many
            for s in range(count):
                total[s] += some[s]
                some[s] = np.float32(0.0)
    return total


@_inner
def _change(item, other, first, partner, amount, row, column, r0, c0, r1, c1):  # type: ignore[no-untyped-def]
    """Returns what it costs that one item goes from 0 to 1, its distance from ``other`` left out.

    Two sums, of every other partner each, since an addition waits for the one before it.
    """
    total, more = np.float32(0.0), np.float32(0.0)
    k, last = first[item], first[item + 1]
    while k < last:
        j = partner[k]
        d = abs(row[j] - r1) + abs(column[j] - c1) - abs(row[j] - r0) - abs(column[j] - c0)
        total += amount[k] * np.float32(d) if j != other else np.float32(0.0)
        k += 1
        if k < last:
            j = partner[k]
            d = abs(row[j] - r1) + abs(column[j] - c1) - abs(row[j] - r0) - abs(column[j] - c0)
            more += amount[k] * np.float32(d) if j != other else np.float32(0.0)
            k += 1
    return np.float64(total) + np.float64(more)


def anneal_pairs(  # type: ignore[no-untyped-def]
    first, partner, amount, row, column, at, spot_row, spot_column, group, spot, moves, hot, cold, reach,
    towards, seed,
):  # fmt: skip
    """Moves items so that they cost less; returns the mean size of the changes tried.

    Args:
        first: ``(m + 1,)`` int64, of ``pair_graph``; items behind those that have a spot rest.
        partner: uint32.
        amount: float32.
        row: ``(m,)`` int32, written: of each item.
        column: Likewise.
        at: ``(rows, columns)`` int64: the spot of each position of the mesh, −1 where there is none.
        spot_row: ``(S,)`` int64.
        spot_column: ``(S,)`` int64.
        group: ``(S,)`` int64: items never leave the spots of their group.
        spot: ``(n,)`` int64, written: of each item, one to a spot.
        moves: Moves that are tried.
        hot: First temperature, in the unit of the cost; at 0 nothing is moved.
        cold: Last one.
        reach: Rows and columns of the neighbourhood in which a new spot is looked for.
        towards: Share of moves into the neighbourhood of a partner.
        seed: Of the random numbers.
    """
    n = spot.size
    height, width = at.shape
    held = np.full(spot_row.size, -1)
    for i in range(n):
        held[spot[i]] = i
    state = first_state(seed)
    tried, scale, temperature = 0, 0.0, hot
    factor = (cold / hot) ** (1.0 / moves) if hot > 0.0 and moves > 0 else 1.0
    limit = np.uint64(towards * 9007199254740992.0)
    side = 2 * reach + 1
    for _ in range(moves):
        temperature *= factor
        state = next_state(state)
        a = below(state, n)
        p, near = spot[a], a
        state = next_state(state)
        degree = first[a + 1] - first[a]
        if degree > 0 and state >> np.uint64(11) < limit:
            state = next_state(state)
            near = np.int64(partner[first[a] + below(state, degree)])
        state = next_state(state)
        step = below(state, side * side)
        r1, c1 = row[near] + step // side - reach, column[near] + step % side - reach
        if r1 < 0 or c1 < 0 or r1 >= height or c1 >= width:
            continue
        q = at[r1, c1]
        if q < 0 or q == p or group[q] != group[p]:
            continue
        b = held[q]
        r0, c0 = np.int32(spot_row[p]), np.int32(spot_column[p])
        r1, c1 = np.int32(r1), np.int32(c1)
        change = _change(a, np.uint32(b), first, partner, amount, row, column, r0, c0, r1, c1)
        if b >= 0:
            change += _change(b, np.uint32(a), first, partner, amount, row, column, r1, c1, r0, c0)
        tried += 1
        scale += abs(change)
        if hot <= 0.0:
            continue
        if change > 0.0:
            state = next_state(state)
            if np.float64(state >> np.uint64(11)) / 9007199254740992.0 >= np.exp(-change / temperature):
                continue
        row[a], column[a], spot[a], held[q], held[p] = r1, c1, q, a, b
        if b >= 0:
            row[b], column[b], spot[b] = r0, c0, p
    return scale / max(tried, 1)
